"""The sections about several columns: do they agree, and are they stable over runs?"""

from dataclasses import replace
from itertools import chain

from prune_kit.comparison import ENOUGH, sources
from prune_kit.comparison.compare import Comparison, compared
from prune_kit.errors import PruneKitError
from prune_kit.reporting import limits, plots, sentences
from prune_kit.reporting.blocks import Block, Paragraph, Section, Table, visible
from prune_kit.results.table import ScoreTable

TOP = 0.1  # the share of the rows at an end that scores may have in common
RESAMPLES = 100  # for the intervals
FEW_PAIRS = 3  # with more pairs there are no intervals


def agreement_sections(table: ScoreTable, names: list[str]) -> list[Section]:
    """The agreement of columns, and the number of runs that is enough, as `compare` finds them.

    No section if there is nothing to compare.
    """
    names = [name for name in names if len(limits.ranked(table, name)) > 1]
    # the picture takes $ for mathematics
    shown_names = {name: visible(name).replace("$", "\uff04") for name in names}
    columns = [replace(table.columns[name], name=shown_names[name]) for name in names]
    few = replace(table, columns={column.name: column for column in columns})
    pairs = len(names) * (len(names) - 1) // 2
    try:
        aligned = sources.align_sources(few, None, harder="lower", by_content=False)
        bootstrap = RESAMPLES if pairs <= FEW_PAIRS else 0
        comparison = compared(aligned, top=TOP, bootstrap=bootstrap, seed=0, enough=ENOUGH)
    except PruneKitError as error:
        if len(names) < 2:
            return []
        reason = Paragraph(f"The columns cannot be compared: {visible(error, 400)}")
        return [Section("agreement", "Agreement between the scores", (reason,))]
    sections = []
    if comparison.pairs:
        sections.append(_agreement(comparison, len(table.columns)))
    if any(stability.measured for stability in comparison.stabilities):
        sections.append(_stability(comparison))
    return sections


def _agreement(comparison: Comparison, columns: int) -> Section:
    shown = len(dict.fromkeys(ranking.name for ranking in chain.from_iterable(comparison.pairs)))
    lines = []
    values = []
    for (one, other), agreement in zip(comparison.pairs, comparison.agreements, strict=True):
        rho = agreement.spearman
        interval = "" if rho.low != rho.low else f" [{rho.low:.3f}, {rho.high:.3f}]"
        ends = (agreement.hardest.value, agreement.easiest.value)
        correlations = (f"{rho.value:.3f}{interval}", f"{agreement.kendall.value:.3f}")
        common = (sentences.percent(end) for end in ends)
        lines.append((one.name, other.name, *correlations, *common))
        values.append((rho.value, one.name, other.name))
    known = [value for value in values if value[0] == value[0]]
    if not known:
        title = "No two scores can be ranked against each other"
    elif len(known) == 1:
        title = f"{known[0][1]} and {known[0][2]} agree with Spearman {known[0][0]:.3f}"
    else:
        most, a, b = max(known)
        least, c, d = min(known)
        title = f"{a} and {b} agree most (Spearman {most:.3f}), {c} and {d} least ({least:.3f})"
    few = limits.of_many(shown, columns, "columns")
    caption = (
        f"{few}Spearman's rank correlation of hardness over the training rows; 1 is the same "
        "order, 0 no relation."
    )
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
        "agreement", title, caption, replace(comparison, stabilities=())
    )
    notes: list[Block] = [
        Paragraph(visible(f"{note.replace('the first table', 'the score table')}.", 400))
        for note in comparison.notes
    ]
    return Section("agreement", "Agreement between the scores", (picture, table, *notes))


def _stability(comparison: Comparison) -> Section:
    curves = tuple(stability for stability in comparison.stabilities if stability.measured)
    reached = sum(stability.enough is not None for stability in curves)
    title = (
        f"{reached} of {len(curves)} scores reach a Spearman of {ENOUGH:g} between independent "
        "means of their runs"
    )
    caption = (
        "Spearman over the number of runs averaged: solid against the mean of as many other runs, "
        "dotted against the mean of all runs, of which they are a part."
    )
    only = replace(comparison, pairs=(), agreements=(), stabilities=curves)
    picture = plots.comparison_picture("stability", title, caption, only)
    texts = [Paragraph(visible(stability.sentence(), 600)) for stability in curves]
    return Section("stability", "Stability over runs", (picture, *texts))
