"""The sections of a report, in order. A section is left out if there is no result for it."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from prune_kit.checks import check_kind
from prune_kit.data.dataset import Dataset
from prune_kit.data.identity import check_same
from prune_kit.errors import IdentityError, OptionError
from prune_kit.reporting import limits, plots, sentences
from prune_kit.reporting.agreements import agreement_sections
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
from prune_kit.reporting.choices import selection_section, suspects_section
from prune_kit.reporting.curves import learning_section
from prune_kit.reporting.proofs import retraining_section, search_section, sweep_section
from prune_kit.reporting.provenance import provenance_section
from prune_kit.reporting.scores import score_section
from prune_kit.results.outcomes import Outcomes
from prune_kit.results.removal import Removal, as_selection
from prune_kit.results.selection import Selection
from prune_kit.results.table import ScoreTable


def sections_of(
    data: Dataset,
    *,
    table: ScoreTable | None = None,
    selection: Selection | None = None,
    removal: Removal | None = None,
    outcomes: Outcomes | None = None,
    sweep: Outcomes | None = None,
    search: Outcomes | None = None,
    runs: Path | None = None,
    per_class: int = 5,
    sources: Mapping[str, Path] | None = None,
) -> list[Section]:
    """The sections of a report.

    Parameters
    ----------
    data
        The data set.
    table, selection, removal, outcomes, sweep, search
        The results that the report shows.
    runs
        The folder of the run cache, for the learning curves.
    per_class
        The number of images of a class at each end of a score.
    sources
        The files of the results, by the names of the parameters.

    Raises
    ------
    OptionError
        `per_class` is out of range.
    IdentityError
        A result belongs to other data.
    """
    check_kind(data, Dataset, "data", "load_data")
    if not 0 <= per_class <= limits.MOST_PER_CLASS:
        raise OptionError(
            f"per_class={per_class} is out of range; 0 to {limits.MOST_PER_CLASS} images"
        )
    _check_same(data, {"score table": table, "selection": selection, "removal": removal})
    _check_outcomes(data, {"outcomes": outcomes, "sweep": sweep, "search": search})
    sections = [data_section(data, per_class)]
    if table is not None:
        shown = limits.columns(table)
        sections += [
            score_section(table, name, number, per_class) for number, name in enumerate(shown, 1)
        ]
        sections += agreement_sections(table, shown)
        learning = learning_section(data, table, runs) if runs is not None else None
        if learning is not None:
            sections.append(learning)
    if selection is not None:
        sections.append(selection_section(selection, table, per_class))
    if removal is not None:
        sections.append(suspects_section(removal, table))
    if outcomes is not None and outcomes.rows:
        files = {name: path.stem for name, path in (sources or {}).items()}
        kept = {
            files.get(name, name): as_selection(chosen).index
            for name, chosen in (("selection", selection), ("removal", removal))
            if chosen is not None
        }
        sections.append(retraining_section(outcomes, kept))
    if sweep is not None and sweep.rows and sweep.cells:
        sections.append(sweep_section(sweep))
    if search is not None and search.cells:
        sections.append(search_section(search))
    results = {
        "table": table,
        "selection": selection,
        "removal": removal,
        "outcomes": outcomes,
        "sweep": sweep,
        "search": search,
    }
    sections.append(provenance_section(data, results, sources or {}))
    return sections


def data_section(data: Dataset, examples: int) -> Section:
    """The number of training rows of each class, and the first `examples` of each."""
    rows = data.rows
    names = data.class_names
    groups = rows.per_class(rows.training)
    counts = np.array([len(group) for group in groups])
    order = np.argsort(-counts, kind="stable")
    half = limits.BOXES // 2
    shown = order if len(order) <= limits.BOXES else np.concatenate([order[:half], order[-half:]])
    most = int(order[0])
    least = int(order[-1])
    title = (
        f"The {len(names):,} classes have {counts.min():,} to {counts.max():,} training rows: "
        f"{limits.class_called(names[most])} the most, {limits.class_called(names[least])} the "
        "fewest"
        if counts.min() < counts.max()
        else f"Each of the {len(names):,} classes has {counts.max():,} training rows"
    )
    blocks: list[Block] = [Paragraph(visible(data.describe(), 400) + ".")]
    if data.preparation:
        blocks.append(Paragraph(visible(f"Preparation of the images: {data.preparation}.", 400)))
    blocks.append(
        plots.picture(
            "class-counts",
            title,
            limits.of_many(len(shown), len(order), "classes, the largest and the smallest,")
            + "Training rows per class.",
            1.1 + 0.22 * len(shown),
            lambda axes: plots.bars(
                axes, [names[c] for c in shown], counts[shown], "training rows"
            ),
        )
    )
    share = counts / max(counts.sum(), 1)
    lines = tuple(
        (visible(names[c]), f"{counts[c]:,}", sentences.percent(share[c])) for c in order.tolist()
    )
    blocks.append(
        Table("class-counts", "Training rows per class", ("class", "training rows", "share"), lines)
    )
    nonempty = [number for number, group in enumerate(groups) if len(group)]
    pictured = nonempty[: limits.EXAMPLES]
    gallery = tuple(
        (
            names[number],
            tuple(Tile(int(row), (id_of(rows.id[row]),)) for row in groups[number][:examples]),
        )
        for number in pictured
    )
    if examples:
        noun = (
            "classes"
            if len(pictured) == len(names)
            else f"first {len(pictured)} of {len(names):,} classes"
        )
        blocks.append(Gallery(f"The first training rows of the {noun}", gallery))
    return Section("data", "The data", tuple(blocks))


def _check_same(
    data: Dataset, results: Mapping[str, ScoreTable | Selection | Removal | None]
) -> None:
    for name, result in results.items():
        if result is not None:
            check_same(data.rows, result.rows, f"the data {data.rows.data}", f"the {name}")


def _check_outcomes(data: Dataset, results: Mapping[str, Outcomes | None]) -> None:
    for name, result in results.items():
        if result is not None and result.fingerprint != data.fingerprint:
            raise IdentityError(
                f"the data {data.rows.data} is not the data of the {name}, which were made with "
                f"{result.data}"
            )
