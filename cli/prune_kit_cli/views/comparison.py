"""How a comparison is printed: tables of agreements and stabilities, a sentence for each column."""

import math
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from prune_kit.comparison.agreement import Estimate
from prune_kit.comparison.aligned_scores import Ranking
from prune_kit.comparison.compare import Comparison
from prune_kit_cli.views.tables import path_of
from prune_kit_cli.wording import spoken


def files_line(comparison: Comparison) -> str:
    """What was compared with what, and over how many rows."""
    names = [path_of(Path(origin)) for origin in comparison.origins]
    return f"{' with '.join(names)}, over {int(comparison.rows.sum()):,} training rows"


def shown(comparison: Comparison) -> list[Any]:
    """Everything that goes to stdout."""
    items: list[Any] = []
    if comparison.pairs:
        items += [_agreement_table(comparison), _legend(comparison)]
    if any(stability.measured for stability in comparison.stabilities):
        items += ["", _stability_table(comparison)]
    return [*items, "", *map(spoken, comparison.sentences())] if comparison.stabilities else items


def _agreement_table(comparison: Comparison) -> Table:
    """A line for each pair of rankings; each number has its interval."""
    ends = _percent(comparison.top)
    view = Table(
        "A",
        "B",
        "Spearman",
        "Kendall",
        f"hardest {ends}",
        f"easiest {ends}",
        box=None,
        header_style="bold",
    )
    differing = len({agreement.rows for agreement in comparison.agreements}) > 1
    if differing:
        view.add_column("rows")
    for (one, other), agreement in zip(comparison.pairs, comparison.agreements, strict=True):
        view.add_row(
            _name(one),
            _name(other),
            _correlation(agreement.spearman),
            _correlation(agreement.kendall),
            _share(agreement.hardest),
            _share(agreement.easiest),
            *([f"{agreement.rows:,}"] if differing else []),
        )
    return view


def _legend(comparison: Comparison) -> str:
    """What the numbers are."""
    marked = any(ranking.companion for pair in comparison.pairs for ranking in pair)
    companion = "* a companion: scored along with another column.\n" if marked else ""
    intervals = (
        f"95 % intervals from {comparison.bootstrap} resamples of the examples (seed "
        f"{comparison.seed}), Kendall's asymptotic"
        if comparison.bootstrap
        else "no intervals (--bootstrap 0)"
    )
    estimates = [
        getattr(a, name)
        for a in comparison.agreements
        for name in ("spearman", "hardest", "easiest")
    ]
    lacking = comparison.bootstrap and any(
        math.isnan(e.low) and not math.isnan(e.value) for e in estimates
    )
    intervals += "; none where a resample has a single score" if lacking else ""
    return (
        f"{companion}Correlations of hardness: positive where both call the same examples hard. Of "
        f"the ends, the share in common: {_percent(comparison.top)} by chance. "
        f"{intervals[0].upper()}{intervals[1:]}."
    )


def _stability_table(comparison: Comparison) -> Table:
    """The agreement of means over k runs, for each column and each k."""
    sizes = sorted({size for stability in comparison.stabilities for size in stability.sizes})
    view = Table("mean of so many runs", "with", *map(str, sizes), box=None, header_style="bold")
    for stability in comparison.stabilities:
        if stability.measured is None:
            continue
        kinds = {
            "as many other runs": stability.independent,
            f"the mean of all {stability.runs}": stability.with_all,
        }
        for number, (kind, values) in enumerate(kinds.items()):
            known = dict(zip(stability.sizes, values, strict=True))
            cells = (
                f"{known[size]:.3f}" if not math.isnan(known.get(size, math.nan)) else ""
                for size in sizes
            )
            view.add_row(Text(stability.column if number == 0 else ""), kind, *cells)
    return view


def _name(ranking: Ranking) -> Text:
    return Text(f"{ranking.name} *" if ranking.companion else ranking.name)


def _correlation(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "-"
    interval = "" if math.isnan(estimate.low) else f" [{estimate.low:.3f}, {estimate.high:.3f}]"
    return f"{estimate.value:.3f}{interval}"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _share(estimate: Estimate) -> str:
    interval = (
        ""
        if math.isnan(estimate.low)
        else f" [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"
    )
    return f"{100 * estimate.value:.0f} %{interval}"
