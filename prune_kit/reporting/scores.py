"""The section of a score column: how it is spread, which classes are hard, and what its two ends look like."""

import re

import numpy as np
from scipy import stats

from prune_kit.reporting import limits, plots
from prune_kit.reporting.blocks import (
    Block,
    Cell,
    Gallery,
    Paragraph,
    Section,
    Table,
    id_of,
    visible,
)
from prune_kit.results.table import ScoreColumn, ScoreTable
from prune_kit.scorers.cscore import error_sentence, shortfall

NORM = "input_norm"
TIED = 0.01  # from this share of the rows on at the edge of the hardest tenth, it has no edge


def score_section(table: ScoreTable, name: str, number: int, count: int) -> Section:
    """The column `name`, the `number`th; `count` images of each end of a class."""
    column, order = table.columns[name], limits.ranked(table, name)
    title, anchor = f"Score {name}", f"score-{number}"
    missing = len(table.rows.training) - len(order)
    said = [f"{visible(name)}: {'high' if column.harder == 'higher' else 'low'} scores are hard."]
    said.append(f"{_behind(column)}.")
    if missing:
        said.append(f"{missing:,} training rows have no finite score and are not shown.")
    if len(table.probes):
        said.append(f"{len(table.probes):,} training rows were scored under a planted wrong label.")
    said += _votes(table, name)
    said += _against_norm(table, name)
    if not len(order):
        return Section(
            anchor,
            title,
            (Paragraph(" ".join(said)), Paragraph("No training row has a finite score.")),
        )
    blocks: list[Block] = [Paragraph(" ".join(said)), _spread(table, name, number, order)]
    groups = table.rows.per_class(order)
    found, median = limits.quantiles(groups, column.values), float(np.median(column.values[order]))
    blocks += _classes(table, name, number, found, median)
    extreme = limits.most_extreme(found[:, 2], median, limits.GALLERIES)
    if count:
        few = limits.of_many(
            len(extreme), int(np.isfinite(found[:, 2]).sum()), "classes, the most extreme,"
        )
        for end, last in (("Hardest", True), ("Easiest", False)):
            gallery = tuple(
                (table.rows.class_names[c], _cells(table, name, groups[c], count, last))
                for c in extreme
            )
            blocks.append(Gallery(f"{end} training rows per class. {few}".strip(" ."), gallery))
    return Section(anchor, title, tuple(blocks))


def _file(name: str, number: int) -> str:
    """How the files of the figures begin: the column's name, as far as it is plain, and its number."""
    return f"score-{number}-{re.sub('[^A-Za-z0-9@_.]+', '-', name)[:40]}"


def _behind(column: ScoreColumn) -> str:
    if "folds" in column.parameters:
        ratios, folds = column.parameters["ratios"], column.parameters["folds"]
        told = ", ".join(f"{ratio} %" for ratio in ratios)
        return f"It averages the votes of {len(ratios) * folds:,} networks, {folds:,} for each share trained on: {told}"
    runs = column.runs
    return (
        f"It averages over {runs:,} run{'s' * (runs != 1)}"
        if runs
        else "No run of a network is recorded behind it"
    )


def _votes(table: ScoreTable, name: str) -> list[str]:
    """Of a score that averages votes at several ratios, the standard error and what it lacks."""
    column = table.columns[name]
    if "per_ratio" not in column.extras:
        return []
    said = (error_sentence(column, table.rows), shortfall(column, table.rows))
    return [f"{text[0].upper()}{text[1:]}." for text in said if text]


def _against_norm(table: ScoreTable, name: str) -> list[str]:
    """What grand at epoch 0 shares with the norm of the image, by Spearman."""
    if name != "grand@0" or NORM not in table.columns:
        return []
    norm, grand = table.hardness(NORM), table.hardness(name)
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
    """The histogram; its title says where the middle and the hard end are."""
    column = table.columns[name]
    values = column.values[order]
    low, middle, high = np.percentile(values.astype(np.float64), (0, 50, 100))
    hard = float(values[int(0.9 * len(values))])
    tied = int((values == hard).sum())
    if low == high:
        finding = f"{name} is {low:.4g} for all {len(values):,} training rows: it ranks nothing"
    else:
        side = "above" if column.harder == "higher" else "below"
        end = f"the hardest tenth of the rows lies {side} {hard:.4g}"
        if tied > TIED * len(values):
            beyond = float(
                ((values > hard) if column.harder == "higher" else (values < hard)).mean()
            )
            end = f"{tied / len(values):.1%} of the rows have {hard:.4g}, {beyond:.1%} are harder"
        finding = f"The median of {name} is {middle:.4g}; {end}"
    label = visible(f"{name} ({'higher' if column.harder == 'higher' else 'lower'} is harder)")
    return plots.picture(
        f"{_file(name, number)}-histogram",
        finding,
        f"Histogram of {name} over {len(values):,} training rows, from {low:.4g} to {high:.4g}.",
        3.0,
        lambda axes: plots.histogram(axes, values, label),
    )


def _classes(
    table: ScoreTable, name: str, number: int, found: np.ndarray, median: float
) -> list[Block]:
    """The boxes of the most extreme classes, the hardest on top, and the table of all."""
    names = table.rows.class_names
    hardness = found if table.columns[name].harder == "higher" else -found[:, ::-1]
    there = np.flatnonzero(np.isfinite(hardness[:, 2]))
    ranked = there[
        np.lexsort(-hardness[there][:, [4, 3, 2]].T)
    ].tolist()  # by the median, then by the harder ends
    extreme = set(limits.most_extreme(found[:, 2], median, limits.BOXES))
    shown = [c for c in ranked if c in extreme]
    first, last = ranked[0], ranked[-1]
    if len(ranked) == 1:
        finding = f"Only {limits.class_called(names[first])} has scored rows; its median is {found[first, 2]:.4g}"
    elif hardness[first, 2] == hardness[last, 2]:
        finding = f"By the median of {name} all classes are equally hard"
        if hardness[first, 4] > hardness[last, 4]:
            finding += f"; {limits.class_called(names[first])} has the hardest rows"
    else:
        finding = (
            f"By the median of {name}, {limits.class_called(names[first])} ({found[first, 2]:.4g}) "
            f"is the hardest and {limits.class_called(names[last])} ({found[last, 2]:.4g}) the "
            "easiest"
        )
    few = limits.of_many(
        len(shown), len(ranked), "classes, those furthest from the median of all rows,"
    )
    header = ("class", "5th percentile", "25th", "median", "75th", "95th")
    lines = tuple((visible(names[c]), *(f"{value:.4g}" for value in found[c])) for c in ranked)
    return [
        plots.picture(
            f"{_file(name, number)}-classes",
            finding,
            f"{few}Boxes from the 25th to the 75th percentile of {name}, lines from the 5th to "
            "the 95th, a mark at the median; the class with the hardest median is on top, of "
            "equal ones that with the harder ends.",
            1.2 + 0.24 * len(shown),
            lambda axes: plots.boxes(
                axes, [names[c] for c in shown], found[shown], median, visible(name)
            ),
        ),
        Table(
            f"{_file(name, number)}-classes",
            f"{visible(name)} per class, hardest first",
            header,
            lines,
        ),
    ]


def _cells(
    table: ScoreTable, name: str, group: np.ndarray, count: int, hardest: bool
) -> tuple[Cell, ...]:
    """The `count` rows at one end of a class, the outermost first, with their ids, labels and scores."""
    rows, values = (group[::-1] if hardest else group)[:count].tolist(), table.columns[name].values
    names = table.rows.class_names
    return tuple(
        Cell(
            row,
            (
                id_of(table.rows.id[row]),
                f"label: {names[table.rows.label[row]]}",
                f"score {values[row]:.4g}",
            ),
        )
        for row in rows
    )
