"""The section of a score column: how it is spread, which classes are hard, and what its two ends look like."""

import numpy as np
from scipy import stats

from prune_kit.reporting import limits, plots
from prune_kit.reporting.blocks import Block, Cell, Gallery, Paragraph, Section, Table, id_of, visible
from prune_kit.scorers.cscore import shortfall, typical_error
from prune_kit.table import ScoreTable

NORM = "input_norm"


def score_section(table: ScoreTable, name: str, number: int, count: int) -> Section:
    """The column `name`, the `number`th; `count` images of each end of a class."""
    column, order = table.columns[name], limits.ranked(table, name)
    title, anchor = f"Score {name}", f"score-{number}"
    missing = len(table.rows.training) - len(order)
    said = [f"{visible(name)}: {'high' if column.harder == 'higher' else 'low'} scores are hard."]
    said.append(f"{_behind(column.runs)}.")
    if missing:
        said.append(f"{missing:,} training rows have no finite score and are not shown.")
    if len(table.probes):
        said.append(f"{len(table.probes):,} training rows were scored under a planted wrong label.")
    said += _votes(table, name)
    said += _against_norm(table, name)
    if not len(order):
        return Section(anchor, title, (Paragraph(" ".join(said)), Paragraph("No training row has a finite score.")))
    blocks: list[Block] = [Paragraph(" ".join(said)), _spread(table, name, number, order)]
    groups = table.rows.per_class(order)
    found, median = limits.quantiles(groups, column.values), float(np.median(column.values[order]))
    blocks += _classes(table, name, number, found, median)
    extreme = limits.most_extreme(found[:, 2], median, limits.GALLERIES)
    if count:
        few = limits.of_many(len(extreme), int(np.isfinite(found[:, 2]).sum()), "classes, the most extreme,")
        for end, last in (("Hardest", True), ("Easiest", False)):
            gallery = tuple((table.rows.class_names[c], _cells(table, name, groups[c], count, last)) for c in extreme)
            blocks.append(Gallery(f"{end} training rows per class. {few}".strip(" ."), gallery))
    return Section(anchor, title, tuple(blocks))


def _behind(runs: int) -> str:
    return f"It averages over {runs:,} run{'s' * (runs != 1)}" if runs else "No run of a network is recorded behind it"


def _votes(table: ScoreTable, name: str) -> list[str]:
    """Of a score that averages votes at several ratios, the standard error and what it lacks."""
    column = table.columns[name]
    if "per_ratio" not in column.extras:
        return []
    error = typical_error(column)
    told = "takes two votes at every ratio" if np.isnan(error) else f"is {error:.3f} (root mean square over the rows)"
    lacking = shortfall(column, table.rows)
    return [f"The standard error of an example's score {told}.", *([f"{lacking}."] if lacking else [])]


def _against_norm(table: ScoreTable, name: str) -> list[str]:
    """What grand at epoch 0 shares with the norm of the image, by Spearman."""
    if name != "grand@0" or NORM not in table.columns:
        return []
    norm, grand = table.hardness(NORM), table.hardness(name)
    both = table.rows.training[np.isfinite(norm + grand)[table.rows.training]]
    if len(both) < 2 or not np.ptp(norm[both]) or not np.ptp(grand[both]):
        return [f"Its Spearman with {NORM} cannot be told: one of them is the same for all rows."]
    rho = float(stats.spearmanr(norm[both], grand[both]).statistic)
    close = ": it ranks much as the norm of the image does, which takes no network" if abs(rho) > 0.8 else ""
    return [f"Its Spearman with {NORM} is {rho:.3f}{close}."]


def _spread(table: ScoreTable, name: str, number: int, order: np.ndarray) -> Block:
    """The histogram; its title says where the middle and the hard end are."""
    column = table.columns[name]
    values = column.values[order]
    low, middle, high = np.percentile(values.astype(np.float64), (0, 50, 100))
    hard = float(values[int(0.9 * len(values))])
    if low == high:
        finding = f"{name} is {low:.4g} for all {len(values):,} training rows: it ranks nothing"
    else:
        side = "above" if column.harder == "higher" else "below"
        finding = f"The median of {name} is {middle:.4g}; the hardest tenth of the rows lies {side} {hard:.4g}"
    label = visible(f"{name} ({'higher' if column.harder == 'higher' else 'lower'} is harder)")
    return plots.picture(
        f"score-{number}-histogram",
        finding,
        f"Histogram of {name} over {len(values):,} training rows, from {low:.4g} to {high:.4g}.",
        3.0,
        lambda axes: plots.histogram(axes, values, label),
    )


def _classes(table: ScoreTable, name: str, number: int, found: np.ndarray, median: float) -> list[Block]:
    """The boxes of the most extreme classes, the hardest on top, and the table of all."""
    names = table.rows.class_names
    hardness = found[:, 2] if table.columns[name].harder == "higher" else -found[:, 2]
    there = np.flatnonzero(np.isfinite(hardness))
    ranked = there[np.argsort(-hardness[there], kind="stable")].tolist()
    extreme = set(limits.most_extreme(found[:, 2], median, limits.BOXES))
    shown = [c for c in ranked if c in extreme]
    first, last = ranked[0], ranked[-1]
    if len(ranked) == 1:
        finding = f"Only {limits.class_called(names[first])} has scored rows; its median is {found[first, 2]:.4g}"
    elif hardness[first] == hardness[last]:
        finding = f"By the median of {name} all classes are equally hard"
    else:
        finding = (
            f"By the median of {name}, {limits.class_called(names[first])} ({found[first, 2]:.4g}) is the hardest "
            f"and {limits.class_called(names[last])} ({found[last, 2]:.4g}) the easiest"
        )
    few = limits.of_many(len(shown), len(ranked), "classes, those furthest from the median of all rows,")
    header = ("class", "5th percentile", "25th", "median", "75th", "95th")
    lines = tuple((visible(names[c]), *(f"{value:.4g}" for value in found[c])) for c in ranked)
    return [
        plots.picture(
            f"score-{number}-classes",
            finding,
            f"{few}Boxes from the 25th to the 75th percentile of {name}, lines from the 5th to the 95th, a mark at the "
            "median; the hardest class is on top.",
            1.2 + 0.24 * len(shown),
            lambda axes: plots.boxes(axes, [names[c] for c in shown], found[shown], median, visible(name)),
        ),
        Table(f"score-{number}-classes", f"{visible(name)} per class, hardest first", header, lines),
    ]


def _cells(table: ScoreTable, name: str, group: np.ndarray, count: int, hardest: bool) -> tuple[Cell, ...]:
    """The `count` rows at one end of a class, the outermost first, with their ids, labels and scores."""
    rows, values = (group[::-1] if hardest else group)[:count].tolist(), table.columns[name].values
    names = table.rows.class_names
    return tuple(
        Cell(row, (id_of(table.rows.id[row]), f"label: {names[table.rows.label[row]]}", f"score {values[row]:.4g}"))
        for row in rows
    )
