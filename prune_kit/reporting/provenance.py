"""The section about the origin of everything, with the commands that make it again."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prune_kit.data.dataset import Dataset
from prune_kit.reporting.blocks import Block, Commands, Paragraph, Section, Table, visible
from prune_kit.reporting.commands import Result, command_lines
from prune_kit.results.column import TRAININGS
from prune_kit.results.outcomes import Outcomes
from prune_kit.results.removal import Removal
from prune_kit.results.selection import Selection
from prune_kit.results.table import ScoreTable
from prune_kit.storage import hdf5

FINGERPRINT = "fingerprint (a digest of all images and labels)"
LONGEST = 1500  # characters of a value
MOST_SEEDS = 8


def provenance_section(
    data: Dataset, results: Mapping[str, Result], sources: Mapping[str, Path]
) -> Section:
    """The file, time, version and parameters of each result, and the commands that made it.

    Parameters
    ----------
    data
        The data set that the results are of.
    results
        The results by their keywords in `pipeline.report`; None for one that was not given.
    sources
        The files of the results, by the same keywords. A result without one names no file.
    """
    blocks: list[Block] = [_facts("data", "The data", {
        "data": data.rows.data, FINGERPRINT: data.fingerprint, "rows": f"{len(data):,}",
        "options": _json(data.rows.options),
    })]  # fmt: skip
    for name, result in results.items():
        if result is not None:
            facts = _origin(sources.get(name)) | {"created": result.created} | _described(result)
            blocks.append(_facts(name, _titled(name, result), facts))
            if isinstance(result, ScoreTable):
                blocks.append(_columns(result))
    lines = command_lines(data, results)
    if lines:
        blocks.append(Paragraph("The commands that make this again, as far as the files tell:"))
        blocks.append(Commands(tuple(visible(line, LONGEST) for line in lines)))
    return Section("provenance", "Provenance", tuple(blocks))


def _facts(name: str, title: str, facts: Mapping[str, str]) -> Table:
    lines = tuple((key, visible(value, LONGEST)) for key, value in facts.items() if value)
    return Table(f"provenance-{name}", title, ("fact", "value"), lines)


def _titled(name: str, result: Result) -> str:
    return "The score table" if isinstance(result, ScoreTable) else f"The {name}"


def _origin(path: Path | None) -> dict[str, str]:
    """The path of a file, and the version that wrote it."""
    if path is None:
        return {}
    with hdf5.reading_hdf5(path) as file:
        return {
            "file": str(path),
            "prune_kit version": str(file.attrs.get("prune_kit_version", "unknown")),
        }


def _described(result: Result) -> dict[str, str]:
    if isinstance(result, Outcomes):
        seeds = sorted({row.seed for row in result.rows})
        return {
            FINGERPRINT: result.fingerprint,
            "seeds": _few(seeds),
            "seconds": f"{sum(row.seconds for row in result.rows):,.1f} in "
            f"{len(result.rows):,} trainings",
            "parameters": result.rows[-1].config
            if result.rows
            else "",  # of a search, in full length
        }
    if isinstance(result, ScoreTable):
        shared = next(
            (c.parameters for c in result.columns.values() if "config" in c.parameters), {}
        )
        return {
            FINGERPRINT: result.rows.fingerprint,
            "parameters": _json(
                {key: value for key, value in shared.items() if key in TRAININGS and key != "epoch"}
            ),
        }
    if isinstance(result, Removal):
        return {
            FINGERPRINT: result.rows.fingerprint,
            "column": result.column,
            "cut": result.cut_method,
            "parameters": _json(result.parameters),
        }
    if isinstance(result, Selection):
        return {
            FINGERPRINT: result.rows.fingerprint,
            "rule": result.rule,
            "column": result.column,
            "parameters": _json(result.parameters),
        }
    return {}


def _columns(table: ScoreTable) -> Table:
    lines = []
    for name, column in table.columns.items():
        own = {key: value for key, value in column.parameters.items() if key not in TRAININGS}
        line = (
            name,
            column.method,
            column.harder,
            _few(column.seeds),
            f"{column.seconds:,.1f}",
            column.created,
            _json(own),
        )
        lines.append(tuple(visible(text, 400) for text in line))
    header = ("column", "method", "harder", "seeds", "seconds", "created", "own parameters")
    return Table("columns", "The columns", header, tuple(lines))


def _few(seeds: "tuple[int, ...] | list[int]") -> str:
    if len(seeds) <= MOST_SEEDS:
        return ", ".join(map(str, seeds))
    return f"{seeds[0]} to {seeds[-1]} ({len(seeds):,} of them)"


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, default=str) if values else ""
