"""How learning dynamics and weak learners are printed."""

import math
from collections.abc import Mapping
from typing import Any

from rich.table import Table

from prune_kit.comparison.dynamics import TOLERANCE, Correlation, EpochDynamics, Match, Spread
from prune_kit.comparison.weak_learners import Probes

LEGEND = (
    "All or none: the share of the examples that all networks have right, or none. Bimodality: 0 "
    "where consistency takes two values, 0.8 for a uniform spread, 2 for a normal one, - where it "
    "is the same for all examples."
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
                    for one in found
                ],
            }
            for name, found in epochs.items()
        ]
    }


def epochs_shown(epochs: Mapping[str, list[EpochDynamics]]) -> list[Any]:
    """A table per ensemble, a line per epoch."""
    items: list[Any] = []
    for name, found in epochs.items():
        view = _table(
            "epoch",
            "accuracy",
            "all or none",
            "bimodality",
            "test: accuracy",
            "all or none",
            "bimodality",
        )
        for one in found:
            view.add_row(str(one.epoch), *_spread(one.train), *_spread(one.test))
        items += [f"{name}:", view]
    return [*items, LEGEND]


def matches_json(matches: list[Match], order: Order) -> dict[str, Any]:
    """The matched epochs and the correlations there, and that of the whole order of learning, as JSON values."""
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
    """A line per matched pair of epochs, and a line about the order of learning."""
    title = f"matched epochs (training accuracies within {TOLERANCE:.0%}), and how consistency correlates there:"
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
    said = f"order of learning (consistency averaged over the epochs): Pearson {train[0]}, Spearman {train[1]}"
    return [*lines, "", said + (f"; on the test examples {test[0]}, {test[1]}" if order[1] else "")]


def probes_json(found: Probes) -> dict[str, Any]:
    """What the weak learners show as JSON values; accuracies are shares in [0, 1]."""
    boosting = vars(found.boosting) if found.boosting else None
    return {**vars(found), "probes": [vars(one) for one in found.probes], "boosting": boosting}


def probes_shown(found: Probes) -> list[Any]:
    """A line per learner, and per number of stages of AdaBoost; a line about its order."""
    view = Table("learner", box=None, header_style="bold")
    for name in ("stages", "accuracy", "easy third", "middle", "hard"):
        view.add_column(name, justify="right")
    for one in found.probes:
        shares = (f"{share:.1%}" for share in (one.accuracy, one.easy, one.middle, one.hard))
        view.add_row(one.learner, str(one.stages or ""), *shares)
    if found.boosting is None:
        return [view]
    pearson, spearman = _correlation(found.boosting)
    said = f"the share of AdaBoost's stages at which an example is right, with {found.by}"
    return [view, "", f"{said}: Pearson {pearson}, Spearman {spearman}"]


def _table(*names: str) -> Table:
    view = Table(box=None, header_style="bold")
    for name in names:
        view.add_column(name, justify="right")
    return view


def _spread(spread: Spread | None) -> tuple[str, ...]:
    if spread is None:
        return ("", "", "")
    return f"{spread.accuracy:.2%}", f"{spread.all_or_none:.2%}", _number(spread.bimodality)


def _correlation(found: Correlation | None) -> tuple[str, str]:
    return ("", "") if found is None else (_number(found.pearson), _number(found.spearman))


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"
