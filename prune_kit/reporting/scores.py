"""The section of a score column: its histogram, its classes, and images of its two ends."""

import re

import numpy as np
from scipy import stats

from prune_kit.reporting import limits, plots
from prune_kit.reporting.blocks import (
    Block,
    Gallery,
    Paragraph,
    Section,
    Table,
    Tile,
    id_of,
    visible,
)
from prune_kit.results.column import ScoreColumn
from prune_kit.results.ranking import TIED
from prune_kit.results.table import ScoreTable
from prune_kit.scorers.cscore import error_sentence, shortfall

NORM = "input_norm"


def score_section(table: ScoreTable, name: str, number: int, count: int) -> Section:
    """The section of one column.

    Parameters
    ----------
    table
        The score table.
    name
        The name of the column.
    number
        The number of the section, for its anchor.
    count
        The number of images at each end of a class.
    """
    column = table.columns[name]
    order = limits.ranked(table, name)
    title = f"Score {name}"
    anchor = f"score-{number}"
    text = Paragraph(" ".join(_sentences(table, name, len(order))))
    if not len(order):
        return Section(anchor, title, (text, Paragraph("No training row has a finite score.")))
    groups = table.rows.per_class(order)
    quantiles = limits.quantiles(groups, column.values)
    medians = quantiles[:, 2]
    median = float(np.median(column.values[order]))
    blocks: list[Block] = [text, _spread(table, name, number, order)]
    blocks += _classes(table, name, number, quantiles, median)
    extreme = limits.most_extreme(medians, median, limits.GALLERIES)
    if count:
        few = limits.of_many(
            len(extreme), int(np.isfinite(medians).sum()), "classes, the most extreme,"
        )
        for end, last in (("Hardest", True), ("Easiest", False)):
            gallery = tuple(
                (table.rows.class_names[c], _tiles(table, name, groups[c], count, last))
                for c in extreme
            )
            blocks.append(Gallery(f"{end} training rows per class. {few}".strip(" ."), gallery))
    return Section(anchor, title, tuple(blocks))


def _sentences(table: ScoreTable, name: str, shown: int) -> list[str]:
    """What the column is, how many rows it lacks, and what is special about it."""
    column = table.columns[name]
    missing = len(table.rows.training) - shown
    texts = [
        f"{visible(name)}: {'high' if column.harder == 'higher' else 'low'} scores are hard.",
        f"{_behind(column)}.",
    ]
    if missing:
        texts.append(f"{missing:,} training rows have no finite score and are not shown.")
    if len(table.probes):
        texts.append(
            f"{len(table.probes):,} training rows were scored under a planted wrong label."
        )
    return texts + _votes(table, name) + _against_norm(table, name)


def _file(name: str, number: int) -> str:
    """The beginning of the names of files: the number, and the plain characters of the name."""
    return f"score-{number}-{re.sub('[^A-Za-z0-9@_.]+', '-', name)[:40]}"


def _behind(column: ScoreColumn) -> str:
    if "folds" in column.parameters:
        ratios = column.parameters["ratios"]
        folds = column.parameters["folds"]
        shares = ", ".join(f"{ratio} %" for ratio in ratios)
        return (
            f"It averages the votes of {len(ratios) * folds:,} networks, {folds:,} for each share "
            f"trained on: {shares}"
        )
    runs = column.runs
    return (
        f"It averages over {runs:,} run{'s' * (runs != 1)}"
        if runs
        else "No run of a network is recorded behind it"
    )


def _votes(table: ScoreTable, name: str) -> list[str]:
    """The standard error of a score that averages votes, and the votes that it lacks."""
    column = table.columns[name]
    if "per_ratio" not in column.extras:
        return []
    texts = (error_sentence(column, table.rows), shortfall(column, table.rows))
    return [f"{text[0].upper()}{text[1:]}." for text in texts if text]


def _against_norm(table: ScoreTable, name: str) -> list[str]:
    """Spearman's correlation of grand at epoch 0 with the norm of the image."""
    if name != "grand@0" or NORM not in table.columns:
        return []
    norm = table.hardness(NORM)
    grand = table.hardness(name)
    both = table.rows.training[np.isfinite(norm + grand)[table.rows.training]]
    if len(both) < 2 or not np.ptp(norm[both]) or not np.ptp(grand[both]):
        return [f"Its Spearman with {NORM} cannot be told: one of them is the same for all rows."]
    rho = float(stats.spearmanr(norm[both], grand[both]).statistic)
    close = (
        ": it ranks much as the norm of the image does, which takes no network"
        if abs(rho) > 0.8
        else ""
    )
    return [f"Its Spearman with {NORM} is {rho:.3f}{close}."]


def _spread(table: ScoreTable, name: str, number: int, order: np.ndarray) -> Block:
    """The histogram of a column. Its title says where the middle and the hard end are."""
    column = table.columns[name]
    values = column.values[order]
    low, middle, high = np.percentile(values.astype(np.float64), (0, 50, 100))
    hard = float(values[int(0.9 * len(values))])
    tied = int((values == hard).sum())
    if low == high:
        title = f"{name} is {low:.4g} for all {len(values):,} training rows: it ranks nothing"
    else:
        side = "above" if column.harder == "higher" else "below"
        end = f"the hardest tenth of the rows lies {side} {hard:.4g}"
        if tied > TIED * len(values):
            beyond = float(
                ((values > hard) if column.harder == "higher" else (values < hard)).mean()
            )
            end = f"{tied / len(values):.1%} of the rows have {hard:.4g}, {beyond:.1%} are harder"
        title = f"The median of {name} is {middle:.4g}; {end}"
    label = visible(f"{name} ({'higher' if column.harder == 'higher' else 'lower'} is harder)")
    return plots.picture(
        f"{_file(name, number)}-histogram",
        title,
        f"Histogram of {name} over {len(values):,} training rows, from {low:.4g} to {high:.4g}.",
        3.0,
        lambda axes: plots.histogram(axes, values, label),
    )


def _classes(
    table: ScoreTable, name: str, number: int, quantiles: np.ndarray, median: float
) -> list[Block]:
    """A box for each of the most extreme classes, the hardest on top, and the table of all."""
    names = table.rows.class_names
    medians = quantiles[:, 2]
    hardness = quantiles if table.columns[name].harder == "higher" else -quantiles[:, ::-1]
    scored = np.flatnonzero(np.isfinite(hardness[:, 2]))
    order = np.lexsort(-hardness[scored][:, [4, 3, 2]].T)  # by the median, then by the harder ends
    ranked = scored[order].tolist()
    extreme = set(limits.most_extreme(medians, median, limits.BOXES))
    shown = [c for c in ranked if c in extreme]
    first = ranked[0]
    last = ranked[-1]
    if len(ranked) == 1:
        title = (
            f"Only {limits.class_called(names[first])} has scored rows; its median is "
            f"{medians[first]:.4g}"
        )
    elif hardness[first, 2] == hardness[last, 2]:
        title = f"By the median of {name} all classes are equally hard"
        if hardness[first, 4] > hardness[last, 4]:
            title += f"; {limits.class_called(names[first])} has the hardest rows"
    else:
        title = (
            f"By the median of {name}, {limits.class_called(names[first])} ({medians[first]:.4g}) "
            f"is the hardest and {limits.class_called(names[last])} ({medians[last]:.4g}) the "
            "easiest"
        )
    few = limits.of_many(
        len(shown), len(ranked), "classes, those furthest from the median of all rows,"
    )
    header = ("class", "5th percentile", "25th", "median", "75th", "95th")
    lines = tuple((visible(names[c]), *(f"{value:.4g}" for value in quantiles[c])) for c in ranked)
    return [
        plots.picture(
            f"{_file(name, number)}-classes",
            title,
            f"{few}Boxes from the 25th to the 75th percentile of {name}, lines from the 5th to "
            "the 95th, a mark at the median; the class with the hardest median is on top, of "
            "equal ones that with the harder ends.",
            1.2 + 0.24 * len(shown),
            lambda axes: plots.boxes(
                axes, [names[c] for c in shown], quantiles[shown], median, visible(name)
            ),
        ),
        Table(
            f"{_file(name, number)}-classes",
            f"{visible(name)} per class, hardest first",
            header,
            lines,
        ),
    ]


def _tiles(
    table: ScoreTable, name: str, group: np.ndarray, count: int, hardest: bool
) -> tuple[Tile, ...]:
    """The `count` rows at one end of a class, outermost first, with ids, labels and scores."""
    rows = (group[::-1] if hardest else group)[:count].tolist()
    values = table.columns[name].values
    names = table.rows.class_names
    return tuple(
        Tile(
            row,
            (
                id_of(table.rows.id[row]),
                f"label: {names[table.rows.label[row]]}",
                f"score {values[row]:.4g}",
            ),
        )
        for row in rows
    )
