"""The sections about chosen rows: those that a selection keeps, and those with suspect labels."""

import numpy as np
from sklearn import metrics

from prune_kit.reporting import limits, plots, sentences
from prune_kit.reporting.blocks import (
    Block,
    Gallery,
    Paragraph,
    Picture,
    Section,
    Table,
    Tile,
    id_of,
    visible,
)
from prune_kit.results.ranking import ascending
from prune_kit.results.removal import NO_SUGGESTION, Removal
from prune_kit.results.selection import (
    DROPPED_EASY,
    DROPPED_HARD,
    HELD_OUT_REASON,
    KEPT,
    REASONS,
    Selection,
)
from prune_kit.results.table import ScoreTable

PARTS = 100  # of the ranking; the reasons are counted in each


def selection_section(selection: Selection, table: ScoreTable | None, count: int) -> Section:
    """A selection: its place in the ranking, the share of each class, and images at its edges.

    Parameters
    ----------
    selection
        The selection.
    table
        The score table, which knows the direction of the column.
    count
        The number of images at each edge.
    """
    blocks: list[Block] = [Paragraph(_sentence(visible(selection.describe(), 600)))]
    reasons = [
        number for number in np.unique(selection.reason).tolist() if number != HELD_OUT_REASON
    ]
    training = max(len(selection.rows.training), 1)
    counts = {number: int((selection.reason == number).sum()) for number in reasons}
    lines = tuple(
        (REASONS[n], f"{count:,}", sentences.percent(count / training))
        for n, count in counts.items()
    )
    blocks.append(
        Table("selection", "What was kept and dropped", ("reason", "training rows", "share"), lines)
    )
    order, harder = _order(selection, table)
    if len(order):
        blocks.append(_window(selection, order, reasons, harder))
    blocks += _class_shares(selection)
    if len(order) and count:
        blocks.append(
            Gallery("Training rows at the edges of what is kept", _edges(selection, order, count))
        )
    return Section("selection", "The selection", tuple(blocks))


def _order(selection: Selection, table: ScoreTable | None) -> tuple[np.ndarray, str]:
    """The training rows with a finite score, easiest first, and which scores are harder."""
    if selection.score is None:
        return np.empty(0, dtype=np.int64), "higher"
    known = table.columns.get(selection.column) if table is not None else None
    harder = known.harder if known is not None else "higher"
    hardness = selection.score if harder == "higher" else -selection.score
    rows = selection.rows.training[np.isfinite(hardness[selection.rows.training])]
    return rows[ascending(hardness[rows], selection.rows.digest[rows])], harder


def _window(selection: Selection, order: np.ndarray, reasons: list[int], harder: str) -> Picture:
    assert selection.score is not None
    scores = selection.score[order].astype(np.float64)
    reason = selection.reason[order]
    count = min(PARTS, len(order))
    part = np.arange(len(order)) * count // len(order)
    total = np.bincount(part, minlength=count)
    shares = {REASONS[n]: np.bincount(part[reason == n], minlength=count) / total for n in reasons}
    kept = np.flatnonzero(reason == KEPT)
    whole = len(kept) > 0 and kept[-1] - kept[0] + 1 == len(kept)
    span = (100 * kept[0] / len(order), 100 * (kept[-1] + 1) / len(order)) if whole else None
    if span:
        title = (
            f"Kept: percentiles {span[0]:.1f} to {span[1]:.1f} of {selection.column}, scores "
            f"{scores[kept[0]]:.4g} to {scores[kept[-1]]:.4g}"
        )
    else:
        middle = f"; the median kept score is {np.median(scores[kept]):.4g}" if len(kept) else ""
        title = (
            f"Kept: {selection.share:.1%} of the rows, spread over the ranking by "
            f"{selection.column}{middle}"
        )
    caption = (
        f"The black line is the score of {len(order):,} training rows in the order of hardness "
        f"({harder} is harder); the areas say which share of the rows there was kept or dropped, "
        "and why."
    )
    label = visible(selection.column)
    return plots.picture("selection", title, caption, 3.6,
                         lambda axes: plots.window(axes, scores, shares, span, label))  # fmt: skip


def _class_shares(selection: Selection) -> list[Block]:
    names = selection.rows.class_names
    shares = selection.class_shares()
    order = np.argsort(shares, kind="stable")
    order = order[np.isfinite(shares[order])]
    if not len(order):
        return []
    shown = order[: limits.BOXES]
    least = int(order[0])
    most = int(order[-1])
    if shares[least] == shares[most]:
        title = f"Every class keeps {shares[least]:.1%} of its rows"
    else:
        title = (
            f"Of its rows {limits.class_called(names[least])} keeps the least "
            f"({shares[least]:.1%}), {limits.class_called(names[most])} the most "
            f"({shares[most]:.1%})"
        )
    few = limits.of_many(len(shown), len(order), "classes, those that keep least,")
    lines = tuple((visible(names[c]), sentences.percent(shares[c])) for c in order.tolist())
    return [
        plots.picture(
            "selection-classes",
            title,
            f"{few}The share of each class's training rows that is kept.",
            1.1 + 0.22 * len(shown),
            lambda axes: plots.bars(
                axes,
                [names[c] for c in shown],
                100 * shares[shown],
                "kept, % of the class",
                100 * selection.share,
            ),
        ),
        Table("selection-classes", "Share kept per class, lowest first", ("class", "kept"), lines),
    ]


def _edges(
    selection: Selection, order: np.ndarray, count: int
) -> tuple[tuple[str, tuple[Tile, ...]], ...]:
    reason = selection.reason[order]
    kept = order[reason == KEPT]
    groups = (
        ("Dropped as easy, the hardest of them", order[reason == DROPPED_EASY][-count:]),
        ("Kept, the easiest of them", kept[:count]),
        ("Kept, the hardest of them", kept[-count:]),
        ("Dropped as hard, the easiest of them", order[reason == DROPPED_HARD][:count]),
    )
    return tuple(
        (title, tuple(_tile(selection, int(row)) for row in rows))
        for title, rows in groups
        if len(rows)
    )


def _tile(selection: Selection, row: int) -> Tile:
    assert selection.score is not None
    rows = selection.rows
    label = f"label: {rows.class_names[rows.label[row]]}"
    return Tile(row, (id_of(rows.id[row]), label, f"score {selection.score[row]:.4g}"))


def suspects_section(removal: Removal, table: ScoreTable | None) -> Section:
    """The most suspect rows, with their given and suggested labels, and estimates of the list.

    If the true labels are known, the section compares the scores of right and wrong labels.
    """
    rows = removal.rows
    names = rows.class_names
    texts = (
        sentences.count_sentence(removal),
        sentences.rate_sentence(removal),
        sentences.expectation_sentence(removal),
    )
    blocks: list[Block] = [Paragraph(_sentence(visible(text, 400))) for text in texts]
    if table is not None and rows.true_label is not None:
        blocks += _known(removal, table)
    lines = []
    for place, row in enumerate(removal.index.tolist()):
        number = int(removal.suggested_label[place])
        suggested = "unknown" if number == NO_SUGGESTION else visible(names[number])
        suggested += (
            " (but no class fits)" if number != NO_SUGGESTION and not removal.clear[place] else ""
        )
        given = visible(names[rows.label[row]])
        suspicion = f"{removal.suspicion[place]:.3f}"
        lines.append((visible(id_of(rows.id[row])), str(row), given, suggested, suspicion))
    first = lines[: limits.SUSPECTS]
    tiles = tuple(
        Tile(
            int(row),
            (line[0], f"given: {line[2]}", f"suggested: {line[3]}", f"suspicion {line[4]}"),
        )
        for row, line in zip(removal.index, first, strict=False)
    )
    if tiles:
        few = limits.of_many(len(tiles), len(removal.index), "rows on the list")
        blocks.append(Gallery(f"The most suspect rows first. {few}".strip(" ."), (("", tiles),)))
        header = ("id", "index", "given label", "suggested label", "suspicion")
        blocks.append(Table("suspects", "The list, most suspect first", header, tuple(lines)))
    return Section("suspects", "Suspected labels", tuple(blocks))


def _known(removal: Removal, table: ScoreTable) -> list[Block]:
    """The scores of right and of wrong labels, where the true labels are known."""
    assert removal.rows.true_label is not None
    name = removal.column if removal.column in table.columns else next(iter(table.columns), None)
    if name is None:
        return []
    order = limits.ranked(table, name)
    wrong = (removal.rows.label != removal.rows.true_label)[order]
    values = table.columns[name].values[order]
    hardness = table.hardness(name)[order]
    if not wrong.any() or wrong.all():
        return [
            Paragraph(
                "The true labels are known, and all labels are of one kind: all right, or all "
                "wrong."
            )
        ]
    area = float(metrics.roc_auc_score(wrong, hardness))
    title = (
        f"By {name} a wrong label is harder than a right one in {100 * area:.1f} % of such pairs"
    )
    listed = int((removal.rows.label != removal.rows.true_label)[removal.index].sum())
    counts = (
        f"The true labels are known: {int(wrong.sum()):,} of {len(wrong):,} are wrong; of the "
        f"{len(removal.index):,} rows on the list {listed:,} are wrong."
    )
    return [
        Paragraph(counts),
        plots.picture(
            "wrong-labels",
            title,
            f"Histograms of {name}, each in shares of its own number of labels; 50 % of the pairs "
            "would be chance.",
            3.0,
            lambda axes: plots.two_kinds(axes, values[wrong], values[~wrong], visible(name)),
        ),
    ]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
