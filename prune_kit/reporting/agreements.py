"""The sections about columns together: do they agree, and are they stable over runs?"""

from dataclasses import replace
from itertools import chain

from prune_kit.comparison import sources
from prune_kit.comparison.compare import Comparison, compared
from prune_kit.errors import PruneKitError
from prune_kit.reporting import limits, plots, sentences
from prune_kit.reporting.blocks import Block, Paragraph, Section, Table, visible
from prune_kit.results.table import ScoreTable

TOP, ENOUGH = 0.1, 0.95
RESAMPLES, FEW_PAIRS = 100, 3  # intervals for a few pairs; a matrix of many goes without


def agreement_sections(table: ScoreTable, names: list[str]) -> list[Section]:
    """How far the columns `names` agree, and how many runs are enough, as `compare` tells; none where it cannot."""
    names = [name for name in names if len(limits.ranked(table, name)) > 1]
    called = {
        name: visible(name).replace("$", "\uff04") for name in names
    }  # the picture takes $ for mathematics
    columns = [replace(table.columns[name], name=called[name]) for name in names]
    few = replace(table, columns={column.name: column for column in columns})
    pairs = len(names) * (len(names) - 1) // 2
    try:
        aligned = sources.align_sources(few, None, harder="lower", by_content=False)
        bootstrap = RESAMPLES if pairs <= FEW_PAIRS else 0
        found = compared(aligned, top=TOP, bootstrap=bootstrap, seed=0, enough=ENOUGH)
    except PruneKitError as error:
        if len(names) < 2:
            return []
        said = Paragraph(f"The columns cannot be compared: {visible(error, 400)}")
        return [Section("agreement", "Agreement between the scores", (said,))]
    made = []
    if found.pairs:
        made.append(_agreement(found, len(table.columns)))
    if any(stability.measured for stability in found.stabilities):
        made.append(_stability(found))
    return made


def _agreement(found: Comparison, columns: int) -> Section:
    shown = len(dict.fromkeys(ranking.name for ranking in chain.from_iterable(found.pairs)))
    lines, values = [], []
    for (one, other), agreement in zip(found.pairs, found.agreements, strict=True):
        rho = agreement.spearman
        interval = "" if rho.low != rho.low else f" [{rho.low:.3f}, {rho.high:.3f}]"
        ends = (agreement.hardest.value, agreement.easiest.value)
        lines.append((one.name, other.name, f"{rho.value:.3f}{interval}", f"{agreement.kendall.value:.3f}",
                      *(sentences.percent(end) for end in ends)))  # fmt: skip
        values.append((rho.value, one.name, other.name))
    known = [value for value in values if value[0] == value[0]]
    if not known:
        finding = "No two scores can be ranked against each other"
    elif len(known) == 1:
        finding = f"{known[0][1]} and {known[0][2]} agree with Spearman {known[0][0]:.3f}"
    else:
        (most, a, b), (least, c, d) = max(known), min(known)
        finding = f"{a} and {b} agree most (Spearman {most:.3f}), {c} and {d} least ({least:.3f})"
    few = limits.of_many(shown, columns, "columns")
    reading = f"{few}Spearman's rank correlation of hardness over the training rows; 1 is the same order, 0 no relation."
    header = (
        "score",
        "other score",
        "Spearman",
        "Kendall",
        "hardest 10 % in common",
        "easiest 10 % in common",
    )
    table = Table("agreement", "Agreement of each pair", header,
                  tuple(tuple(visible(text) for text in line) for line in lines))  # fmt: skip
    picture = plots.comparison_picture(
        "agreement", finding, reading, replace(found, stabilities=())
    )
    notes: list[Block] = [
        Paragraph(visible(f"{note.replace('the first table', 'the score table')}.", 400))
        for note in found.notes
    ]
    return Section("agreement", "Agreement between the scores", (picture, table, *notes))


def _stability(found: Comparison) -> Section:
    curves = tuple(stability for stability in found.stabilities if stability.measured)
    sentences = [stability.sentence() for stability in curves]
    reached = sum(stability.enough is not None for stability in curves)
    finding = f"{reached} of {len(curves)} scores reach a Spearman of {ENOUGH:g} between independent means of their runs"
    reading = (
        "Spearman over the number of runs averaged: solid against the mean of as many other runs, "
        "dotted against the mean of all runs, of which they are a part."
    )
    only = replace(found, pairs=(), agreements=(), stabilities=curves)
    picture = plots.comparison_picture("stability", finding, reading, only)
    said: list[Block] = [Paragraph(visible(sentence, 600)) for sentence in sentences]
    return Section("stability", "Stability over runs", (picture, *said))
