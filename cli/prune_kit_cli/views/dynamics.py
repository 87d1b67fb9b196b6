"""How learning dynamics and weak learners are printed."""

import math
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from prune_kit.comparison.dynamics import TOLERANCE, Correlation, EpochDynamics, Match, Spread
from prune_kit.comparison.weak_learners import WeakLearnerReport

LEGEND = (
    "All or none: the share of the examples that all networks have right, or none. Bimodality: 0 "
    "where consistency has two values, 0.8 for a uniform distribution, 2 for a normal one, - where "
    "it is the same for all examples."
)
Order = tuple[Correlation, Correlation | None]


def epochs_json(epochs: Mapping[str, list[EpochDynamics]]) -> dict[str, Any]:
    """The epochs of each ensemble as JSON values; accuracies are shares in [0, 1]."""
    return {
        "ensembles": [
            {
                "scores": name,
                "epochs": [
                    {
                        "epoch": one.epoch,
                        "train": vars(one.train),
                        "test": vars(one.test) if one.test else None,
                    }
                    for one in ensemble
                ],
            }
            for name, ensemble in epochs.items()
        ]
    }


def epochs_shown(epochs: Mapping[str, list[EpochDynamics]]) -> list[Any]:
    """A table for each ensemble, with a line for each epoch."""
    items: list[Any] = []
    for name, ensemble in epochs.items():
        view = _table(
            "epoch",
            "accuracy",
            "all or none",
            "bimodality",
            "test: accuracy",
            "all or none",
            "bimodality",
        )
        for one in ensemble:
            view.add_row(str(one.epoch), *_spread(one.train), *_spread(one.test))
        items += [f"{name}:", view]
    return [*items, LEGEND]


def matches_json(matches: list[Match], order: Order) -> dict[str, Any]:
    """The matched epochs with their correlations, and the order of learning, as JSON values."""
    return {
        "tolerance": TOLERANCE,
        "matched": [
            {
                **vars(match),
                "train": vars(match.train),
                "test": vars(match.test) if match.test else None,
            }
            for match in matches
        ],
        "order": {"train": vars(order[0]), "test": vars(order[1]) if order[1] else None},
    }


def matches_shown(matches: list[Match], order: Order) -> list[Any]:
    """A line for each matched pair of epochs, and a line about the order of learning."""
    title = (
        f"matched epochs (training accuracies within {TOLERANCE:.0%}), and how consistency "
        "correlates there:"
    )
    if not matches:
        lines: list[Any] = [
            "",
            f"No epoch of A has the training accuracy of an epoch of B, within {TOLERANCE:.0%}.",
        ]
    else:
        view = _table(
            "A", "B", "accuracy A", "accuracy B", "Pearson", "Spearman", "test: Pearson", "Spearman"
        )
        for match in matches:
            view.add_row(
                str(match.epoch),
                str(match.other_epoch),
                f"{match.accuracy:.2%}",
                f"{match.other_accuracy:.2%}",
                *_correlation(match.train),
                *_correlation(match.test),
            )
        lines = ["", title, view]
    train, test = (_correlation(one) for one in order)
    sentence = (
        f"order of learning (consistency averaged over the epochs): Pearson {train[0]}, "
        f"Spearman {train[1]}"
    )
    if order[1]:
        sentence += f"; on the test examples {test[0]}, {test[1]}"
    return [*lines, "", sentence]


def learners_json(report: WeakLearnerReport) -> dict[str, Any]:
    """What the weak learners know, as JSON values; accuracies are shares in [0, 1]."""
    return {
        "by": report.by,
        "fitted": report.fitted,
        "judged": report.judged,
        "where": report.where,
        "tied": report.tied,
        "probes": [vars(one) for one in report.accuracies],
        "boosting": vars(report.boosting) if report.boosting else None,
    }


def learners_shown(report: WeakLearnerReport) -> list[Any]:
    """A line for each learner and each number of stages of AdaBoost, and a line about its order."""
    view = Table("learner", box=None, header_style="bold")
    for name in ("stages", "accuracy", "easy third", "middle", "hard"):
        view.add_column(name, justify="right")
    for one in report.accuracies:
        shares = (f"{share:.1%}" for share in (one.accuracy, one.easy, one.middle, one.hard))
        view.add_row(one.learner, str(one.stages or ""), *shares)
    if report.boosting is None:
        return [view]
    pearson, spearman = _correlation(report.boosting)
    sentence = (
        f"the share of AdaBoost's stages at which an example is right, with {report.by}: "
        f"Pearson {pearson}, Spearman {spearman}"
    )
    return [view, "", sentence]


def _table(*names: str) -> Table:
    view = Table(box=None, header_style="bold")
    for name in names:
        view.add_column(name, justify="right")
    return view


def _spread(spread: Spread | None) -> tuple[str, ...]:
    if spread is None:
        return ("", "", "")
    return f"{spread.accuracy:.2%}", f"{spread.all_or_none:.2%}", _number(spread.bimodality)


def _correlation(correlation: Correlation | None) -> tuple[str, str]:
    if correlation is None:
        return ("", "")
    return _number(correlation.pearson), _number(correlation.spearman)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
