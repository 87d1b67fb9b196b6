"""The sections about what was chosen: the rows that a selection keeps, and the rows whose labels are suspected."""

import numpy as np
from sklearn import metrics

from prune_kit.reporting import limits, plots, sentences
from prune_kit.reporting.blocks import (
    Block,
    Cell,
    Gallery,
    Paragraph,
    Picture,
    Section,
    Table,
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

PARTS = 100  # of the ranking, in each of which the reasons are counted


def selection_section(selection: Selection, table: ScoreTable | None, count: int) -> Section:
    """Where the selection lies in the ranking, what it costs each class, and `count` images at each of its edges."""
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
    """The training rows with a finite score from easiest to hardest, and which scores are harder."""
    if selection.score is None:
        return np.empty(0, dtype=np.int64), "higher"
    known = table.columns.get(selection.column) if table is not None else None
    harder = known.harder if known is not None else "higher"
    hardness = selection.score if harder == "higher" else -selection.score
    rows = selection.rows.training[np.isfinite(hardness[selection.rows.training])]
    return rows[ascending(hardness[rows], selection.rows.digest[rows])], harder


def _window(selection: Selection, order: np.ndarray, reasons: list[int], harder: str) -> Picture:
    assert selection.score is not None
    scores, reason = selection.score[order].astype(np.float64), selection.reason[order]
    count = min(PARTS, len(order))
    part = np.arange(len(order)) * count // len(order)
    there = np.bincount(part, minlength=count)
    shares = {REASONS[n]: np.bincount(part[reason == n], minlength=count) / there for n in reasons}
    kept = np.flatnonzero(reason == KEPT)
    whole = len(kept) > 0 and kept[-1] - kept[0] + 1 == len(kept)
    span = (100 * kept[0] / len(order), 100 * (kept[-1] + 1) / len(order)) if whole else None
    if span:
        finding = (
            f"Kept: percentiles {span[0]:.1f} to {span[1]:.1f} of {selection.column}, scores "
            f"{scores[kept[0]]:.4g} to {scores[kept[-1]]:.4g}"
        )
    else:
        middle = f"; the median kept score is {np.median(scores[kept]):.4g}" if len(kept) else ""
        finding = f"Kept: {selection.share:.1%} of the rows, spread over the ranking by {selection.column}{middle}"
    reading = (
        f"The black line is the score of {len(order):,} training rows in the order of hardness "
        f"({harder} is harder); the areas say which share of the rows there was kept or dropped, "
        "and why."
    )
    label = visible(selection.column)
    return plots.picture("selection", finding, reading, 3.6,
                         lambda axes: plots.window(axes, scores, shares, span, label))  # fmt: skip


def _class_shares(selection: Selection) -> list[Block]:
    names, shares = selection.rows.class_names, selection.class_shares()
    order = np.argsort(
        shares, kind="stable"
    )  # NaN, of a class without training rows, goes to the end
    order = order[np.isfinite(shares[order])]
    if not len(order):
        return []
    shown = order[: limits.BOXES]
    least, most = int(order[0]), int(order[-1])
    if shares[least] == shares[most]:
        finding = f"Every class keeps {shares[least]:.1%} of its rows"
    else:
        finding = (
            f"Of its rows {limits.class_called(names[least])} keeps the least "
            f"({shares[least]:.1%}), {limits.class_called(names[most])} the most "
            f"({shares[most]:.1%})"
        )
    few = limits.of_many(len(shown), len(order), "classes, those that keep least,")
    lines = tuple((visible(names[c]), sentences.percent(shares[c])) for c in order.tolist())
    return [
        plots.picture(
            "selection-classes",
            finding,
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
) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    reason = selection.reason[order]
    kept = order[reason == KEPT]
    groups = (
        ("Dropped as easy, the hardest of them", order[reason == DROPPED_EASY][-count:]),
        ("Kept, the easiest of them", kept[:count]),
        ("Kept, the hardest of them", kept[-count:]),
        ("Dropped as hard, the easiest of them", order[reason == DROPPED_HARD][:count]),
    )
    return tuple(
        (title, tuple(_cell(selection, int(row)) for row in rows))
        for title, rows in groups
        if len(rows)
    )


def _cell(selection: Selection, row: int) -> Cell:
    assert selection.score is not None
    rows = selection.rows
    label = f"label: {rows.class_names[rows.label[row]]}"
    return Cell(row, (id_of(rows.id[row]), label, f"score {selection.score[row]:.4g}"))


def suspects_section(removal: Removal, table: ScoreTable | None) -> Section:
    """The most suspect rows with their given and suggested labels, what is expected of the list, and what is known."""
    rows, names = removal.rows, removal.rows.class_names
    said = (sentences.count_sentence, sentences.rate_sentence, sentences.expectation_sentence)
    blocks: list[Block] = [Paragraph(_sentence(visible(say(removal), 400))) for say in said]
    if table is not None and rows.true_label is not None:
        blocks += _known(removal, table)
    lines = []
    for place, row in enumerate(removal.index.tolist()):
        number = int(removal.suggested_label[place])
        suggested = "unknown" if number == NO_SUGGESTION else visible(names[number])
        suggested += (
            " (but no class fits)" if number != NO_SUGGESTION and not removal.clear[place] else ""
        )
        given, suspicion = visible(names[rows.label[row]]), f"{removal.suspicion[place]:.3f}"
        lines.append((visible(id_of(rows.id[row])), str(row), given, suggested, suspicion))
    first = lines[: limits.SUSPECTS]
    cells = tuple(
        Cell(
            int(row),
            (line[0], f"given: {line[2]}", f"suggested: {line[3]}", f"suspicion {line[4]}"),
        )
        for row, line in zip(removal.index, first, strict=False)
    )
    if cells:
        few = limits.of_many(len(cells), len(removal.index), "rows on the list")
        blocks.append(Gallery(f"The most suspect rows first. {few}".strip(" ."), (("", cells),)))
        header = ("id", "index", "given label", "suggested label", "suspicion")
        blocks.append(Table("suspects", "The list, most suspect first", header, tuple(lines)))
    return Section("suspects", "Suspected labels", tuple(blocks))


def _known(removal: Removal, table: ScoreTable) -> list[Block]:
    """How the scores of labels that are known to be wrong differ from those that are right."""
    assert removal.rows.true_label is not None
    name = removal.column if removal.column in table.columns else next(iter(table.columns), None)
    if name is None:
        return []
    order = limits.ranked(table, name)
    wrong = (removal.rows.label != removal.rows.true_label)[order]
    values, hardness = table.columns[name].values[order], table.hardness(name)[order]
    if not wrong.any() or wrong.all():
        return [
            Paragraph(
                "The true labels are known, and all labels are of one kind: all right, or all "
                "wrong."
            )
        ]
    area = float(metrics.roc_auc_score(wrong, hardness))
    finding = (
        f"By {name} a wrong label is harder than a right one in {100 * area:.1f} % of such pairs"
    )
    listed = int((removal.rows.label != removal.rows.true_label)[removal.index].sum())
    said = (
        f"The true labels are known: {int(wrong.sum()):,} of {len(wrong):,} are wrong; of the "
        f"{len(removal.index):,} rows on the list {listed:,} are wrong."
    )
    return [
        Paragraph(said),
        plots.picture(
            "wrong-labels",
            finding,
            f"Histograms of {name}, each in shares of its own number of labels; 50 % of the pairs "
            "would be chance.",
            3.0,
            lambda axes: plots.two_kinds(axes, values[wrong], values[~wrong], visible(name)),
        ),
    ]


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
