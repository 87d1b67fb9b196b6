"""The sections about retraining: does accuracy hold on the kept rows?"""

import math
from collections.abc import Mapping

import numpy as np

from prune_kit.reporting import limits, plots
from prune_kit.reporting.blocks import Block, Paragraph, Picture, Section, Table, visible
from prune_kit.reporting.figures.search import fill_panel
from prune_kit.reporting.figures.sweep import caption, curves_of
from prune_kit.results.claims import claim, signed
from prune_kit.results.outcomes import FULL, Difference, Outcomes, OutcomeSummary, is_baseline
from prune_kit.retraining.grid import Sweep
from prune_kit.retraining.search import mean_accuracy
from prune_kit.retraining.tuning import TOP, found_of, goal_of, rounds_of

HEADER = (
    "rows",
    "seeds",
    "test accuracy",
    "16th to 84th percentile",
    "minus full (95 %)",
    "minus random (95 %)",
)
CAPTION = (
    "Test accuracy at the last epoch: the mean over seeds, a line over the middle two thirds of "
    "them (16th to 84th percentile), and a small dot for each seed. "
)
PAIRED = (
    "Differences are in points, paired by seed, with 95 % intervals over the seeds; without one "
    "where there is one seed, or the same difference for every seed."
)
SAME_SHARE = (
    f"{TOP}: as many rows by the same scores without an offset, the hardest; prune-kit tune trains "
    "it beside."
)


def retraining_section(outcomes: Outcomes, kept: Mapping[str, np.ndarray]) -> Section:
    """The accuracies on each selection and on the baselines.

    Parameters
    ----------
    outcomes
        The retrainings.
    kept
        By name, the rows that the selections keep now. The section names those that have changed.
    """
    lines = tuple((visible(summary.name), *_numbers(summary)) for summary in outcomes.summaries())
    stale = [name for name, index in kept.items() if outcomes.trained_on(name, index) is False]
    blocks: list[Block] = [
        _dots("retraining", outcomes, outcomes.summaries()),
        Table("retraining", "Accuracy after retraining", ("trained on", *HEADER), lines),
        Paragraph(PAIRED),
        *([Paragraph(SAME_SHARE)] if outcomes.accuracies(TOP) else []),
        *(
            Paragraph(
                f"{visible(name)} was made anew since: these accuracies are of its earlier rows."
            )
            for name in stale
        ),
    ]
    return Section("retraining", "Retraining", tuple(blocks))


def sweep_section(outcomes: Outcomes) -> Section:
    """The accuracies on each cell of the grid and on the baselines."""
    cells = {cell.name: cell for cell in Sweep.of(outcomes).cells}
    lines = []
    for summary in outcomes.summaries():
        cell = cells.get(summary.name)
        options = (
            (cell.rule, cell.by, f"{cell.keep:g}", f"{cell.offset:g}") if cell else ("", "", "", "")
        )
        shown = (visible(text) for text in options)
        lines.append((visible(summary.name), *shown, *_numbers(summary)))
    header = ("trained on", "rule", "column", "keep", "offset", *HEADER)
    swept = Sweep.of(outcomes)
    blocks: list[Block] = [
        _dots("sweep", outcomes, outcomes.summaries()),
        *(
            plots.picture(c.name, c.title, f"Test accuracy: {caption(swept)}.", 4.2, c.fill)
            for c in curves_of(swept)
        ),
        Table("sweep", "Accuracy over the grid", header, tuple(lines)),
        Paragraph(PAIRED),
    ]
    return Section("sweep", "The sweep", tuple(blocks))


def search_section(outcomes: Outcomes) -> Section:
    """The search for a window: the accuracies on the validation split, round by round."""
    rounds = rounds_of(outcomes)
    chosen = found_of(rounds)
    last = rounds[-1]
    best = mean_accuracy(last, chosen)
    goal, met = goal_of(rounds)
    lines = []
    for part in reversed(rounds):
        epochs = str(next(iter(part.cells.values()))["epochs"])
        trained = part.accuracies
        ranked = sorted(part.cells, key=lambda name: -mean_accuracy(part, name))
        lines += [
            (
                epochs,
                visible(name),
                str(len(trained(name))),
                f"{100 * mean_accuracy(part, name):.2f} %",
            )
            for name in ([FULL] if trained(FULL) else []) + ranked
        ]
    keep = last.cells[chosen]["keep"]
    candidates = len({name for part in rounds for name in part.cells})
    verdict = "was chosen" if met else "comes nearest to the goal, which none meets"
    title = (
        f"Of {candidates} candidates, {chosen} {verdict}: {100 * best:.2f} % on the validation "
        "split"
    )
    picture = plots.picture(
        "search",
        visible(title, 300),
        "Accuracy on the validation split over the offset, for the candidates that keep "
        f"{100 * keep:g} %, a line for each round; bars over the middle two thirds of the "
        "seeds.",
        3.8,
        lambda axes: fill_panel(axes, rounds, chosen),
    )
    table = Table(
        "search",
        "Accuracy on the validation split",
        ("epochs", "candidate", "seeds", "accuracy"),
        tuple(lines),
    )
    sought = f"Sought: {goal.describe()}. " if goal else ""
    text = (
        f"{sought}The test set had no part in this; what it says of the chosen window stands under "
        "retraining."
    )
    return Section("search", "The search for a window", (picture, table, Paragraph(text)))


def _dots(name: str, outcomes: Outcomes, summaries: list[OutcomeSummary]) -> Picture:
    shown = summaries[: limits.LINES]
    bands = np.array([(summary.mean, summary.low, summary.high) for summary in shown])
    seeds = [list(outcomes.accuracies(summary.name).values()) for summary in shown]
    full = next((summary.mean for summary in summaries if summary.name == FULL), math.nan)
    few = limits.of_many(len(shown), len(summaries), "selections and baselines")
    return plots.picture(
        name,
        _title(summaries),
        CAPTION + few,
        1.5 + 0.26 * len(shown),
        lambda axes: plots.dots(axes, [s.name for s in shown], seeds, bands, full),
    )


def _title(summaries: list[OutcomeSummary]) -> str:
    """The selection with the highest accuracy, against the baselines."""
    own = [
        summary for summary in summaries if not is_baseline(summary.name) and summary.name != TOP
    ]
    if not own:
        best = max(summaries, key=lambda summary: summary.mean)
        return f"Only baselines were trained: {best.name} reaches {100 * best.mean:.2f} %"
    best = max(own, key=lambda summary: summary.mean)
    named = f"{best.name} ({best.kept:,} rows)"
    which = f"The best of {len(own)}, {named}," if len(own) > 1 else named
    comparisons = [
        claim(difference, other)
        for difference, other in (
            (best.minus_full, "all rows"),
            (best.minus_random, "random rows of its number"),
        )
        if difference is not None
    ]
    ending = f": {', and '.join(comparisons)}" if comparisons else ""
    return f"{which} reaches {100 * best.mean:.2f} %{ending}"


def _numbers(summary: OutcomeSummary) -> tuple[str, ...]:
    return (
        f"{summary.kept:,}",
        str(summary.seeds),
        f"{100 * summary.mean:.2f} %",
        f"{100 * summary.low:.2f} to {100 * summary.high:.2f}",
        _points(summary.minus_full),
        _points(summary.minus_random),
    )


def _points(difference: Difference | None) -> str:
    if difference is None:
        return ""
    if math.isnan(difference.low):
        return signed(difference.mean)
    low, mean, high = (signed(d) for d in (difference.low, difference.mean, difference.high))
    return f"{mean} [{low}, {high}]"
