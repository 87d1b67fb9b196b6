"""The section that says where everything comes from, and how to make it again."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from prune_kit import files
from prune_kit.data.dataset import Dataset
from prune_kit.outcomes import Outcomes, is_baseline
from prune_kit.removal import Removal
from prune_kit.reporting.blocks import Block, Commands, Paragraph, Section, Table, visible
from prune_kit.selection import Selection
from prune_kit.table import TRAININGS, ScoreColumn, ScoreTable
from prune_kit.training.processor import cpu_precision
from prune_kit.training.protocols import protocol
from prune_kit.tuning import AXES, SEARCH_SEEDS, TOP, goal_of, grid_of, is_search, rounds_of

LONGEST = 1500  # characters of a value
MOST_SEEDS = 8
Result = ScoreTable | Selection | Removal | Outcomes | None


def provenance_section(data: Dataset, results: Mapping[str, Result], sources: Mapping[str, Path]) -> Section:
    """For each result its file, when, by which version, with which parameters it was made; and the command lines."""
    blocks: list[Block] = [_facts("data", "The data", {
        "data": data.rows.data, "fingerprint": data.fingerprint, "rows": f"{len(data):,}",
        "options": _json(data.rows.options),
    })]  # fmt: skip
    for name, found in results.items():
        if found is not None:
            facts = _origin(sources.get(name)) | {"created": found.created} | _told(found)
            blocks.append(_facts(name, _titled(name, found), facts))
            if isinstance(found, ScoreTable):
                blocks.append(_columns(found))
    lines = tuple(line for found in results.values() if found is not None for line in _commands(data, found))
    if lines:
        blocks.append(Paragraph("The commands that make this again, as far as the files tell:"))
        blocks.append(Commands(tuple(visible(line, LONGEST) for line in lines)))
    return Section("provenance", "Provenance", tuple(blocks))


def _facts(name: str, title: str, facts: Mapping[str, str]) -> Table:
    lines = tuple((key, visible(value, LONGEST)) for key, value in facts.items() if value)
    return Table(f"provenance-{name}", title, ("fact", "value"), lines)


def _titled(name: str, found: Result) -> str:
    return "The score table" if isinstance(found, ScoreTable) else f"The {name}"


def _origin(path: Path | None) -> dict[str, str]:
    """The path of a file, and the version that wrote it."""
    if path is None:
        return {}
    with files.reading_hdf5(path) as file:
        return {"file": str(path), "prune_kit version": str(file.attrs.get("prune_kit_version", "unknown"))}


def _told(found: Result) -> dict[str, str]:
    if isinstance(found, Outcomes):
        seeds = sorted({row.seed for row in found.rows})
        return {
            "fingerprint": found.fingerprint,
            "seeds": _few(seeds),
            "seconds": f"{sum(row.seconds for row in found.rows):,.1f} in {len(found.rows):,} trainings",
            "parameters": found.rows[-1].config if found.rows else "",  # of a search, in full length
        }
    if isinstance(found, ScoreTable):
        shared = next((c.parameters for c in found.columns.values() if "config" in c.parameters), {})
        return {
            "fingerprint": found.rows.fingerprint,
            "parameters": _json({key: value for key, value in shared.items() if key in TRAININGS and key != "epoch"}),
        }
    if isinstance(found, Removal):
        return {
            "fingerprint": found.rows.fingerprint,
            "column": found.column,
            "cut": found.cut_method,
            "parameters": _json(found.parameters),
        }
    if isinstance(found, Selection):
        return {
            "fingerprint": found.rows.fingerprint,
            "rule": found.rule,
            "column": found.column,
            "parameters": _json(found.parameters),
        }
    return {}


def _columns(table: ScoreTable) -> Table:
    lines = []
    for name, column in table.columns.items():
        own = {key: value for key, value in column.parameters.items() if key not in TRAININGS}
        line = (name, column.method, column.harder, _few(column.seeds), f"{column.seconds:,.1f}", column.created,
                _json(own))  # fmt: skip
        lines.append(tuple(visible(text, 400) for text in line))
    header = ("column", "method", "harder", "seeds", "seconds", "created", "own parameters")
    return Table("columns", "The columns", header, tuple(lines))


def _commands(data: Dataset, found: Result) -> list[str]:
    spec = shlex.quote(data.rows.data)
    labels = data.rows.options.get("labels_file")
    if isinstance(found, ScoreTable):
        return _scoring(data, found, f"{spec}{f' --labels {shlex.quote(str(labels))}' if labels else ''}")
    if isinstance(found, Selection):
        by = f" --by {shlex.quote(found.column)}" if found.column else ""
        return [f"prune-kit select --rule {shlex.quote(found.rule)}{by}{_options(found.parameters)}"]
    if isinstance(found, Removal):
        by = f" --by {shlex.quote(found.column)}" if found.column else ""
        known = {key: value for key, value in found.parameters.items() if key in ("remove", "per_class", "holdout")}
        cut = "" if found.parameters.get("remove") is not None else f" --cut {shlex.quote(found.cut_method)}"
        return [f"prune-kit clean{by}{cut}{_options(known)}"]
    if isinstance(found, Outcomes) and found.rows and not found.cells:
        own = list(dict.fromkeys(row.selection for row in found.rows if not is_baseline(row.selection)))
        named = [f"{name} (trained by prune-kit tune alone)" if name == TOP else name for name in own]
        seeds = sorted({row.seed for row in found.rows})
        return [f"prune-kit retrain --runs {len(seeds)} --seed {seeds[0]}   # of {', '.join(named) or 'the baselines'}"]
    if isinstance(found, Outcomes) and found.rows:
        seeds = sorted({row.seed for row in found.rows})
        rounds = rounds_of(found) if is_search(found) else ()
        axes = grid_of(rounds) if rounds else {key: [cell[key] for cell in found.cells.values()] for key in AXES}
        lists = {key: ",".join(dict.fromkeys(map(_short, values))) for key, values in axes.items()}
        words = "".join(f" --{key} {shlex.quote(value)}" for key, value in lists.items())
        if rounds:
            goal, _ = goal_of(rounds)
            words += f" --goal {shlex.quote(goal.words)}" if goal else ""
            return [f"prune-kit tune{words} --runs {len(seeds)} --seed {seeds[0] - SEARCH_SEEDS}"]
        return [f"prune-kit sweep{words} --runs {len(seeds)} --seed {seeds[0]}"]
    return []


def _scoring(data: Dataset, table: ScoreTable, spec: str) -> list[str]:
    """A command for the columns that share epochs, runs and options: one training serves them all."""
    groups: dict[tuple[str, str, int], list[ScoreColumn]] = {}
    by_method: dict[str, list[ScoreColumn]] = {}
    for column in table.columns.values():
        if not column.companion:
            by_method.setdefault(f"{column.method} {_json(column.options)}", []).append(column)
    for columns in by_method.values():
        epochs = sorted(int(epoch) for c in columns if (epoch := c.name.partition("@")[2]).isdigit())
        key = ",".join(map(str, epochs)), _options(columns[0].options), columns[0].runs
        groups.setdefault(key, []).extend(columns)
    lines = []
    for (epochs_told, options, runs), columns in groups.items():
        parameters = columns[0].parameters
        methods = ",".join(dict.fromkeys(column.method for column in columns))
        words = f"prune-kit score --data {spec} --method {shlex.quote(methods)}"
        words += f" --epoch {epochs_told}" if epochs_told else ""
        words += f" --runs {runs}" if runs else ""
        words += options + _options({key: parameters.get(key) for key in ("seed", "probes")})
        words += _precision(data, columns) if runs else ""
        lines.append(words + _protocol(data, parameters.get("config", {})))
    return lines


def _precision(data: Dataset, columns: list[ScoreColumn]) -> str:
    """The precision of the trainings, where this machine's CPU would take another unasked.

    It is not named where gradients were measured in another than that, for which there is no word.
    """
    parameters = columns[0].parameters
    trained, network = parameters.get("precision"), parameters.get("config", {}).get("model", "")
    measured = {str(c.parameters.get("gradient_precision", trained)).partition(" ")[0] for c in columns}
    usual = trained in (None, cpu_precision(network, data.shape)) or measured != {trained}
    return "" if usual else f" --precision {trained}"


def _protocol(data: Dataset, config: Mapping[str, Any]) -> str:
    """The words that change the data set's own protocol into this one."""
    usual = asdict(protocol(data))
    changed = {
        key: value for key, value in config.items() if key in usual and _json({"": value}) != _json({"": usual[key]})
    }
    model = f" --model {shlex.quote(str(changed.pop('model')))}" if "model" in changed else ""
    return model + "".join(f" --train {shlex.quote(f'{key}={_listed(value)}')}" for key, value in changed.items())


def _listed(value: Any) -> str:
    return ",".join(map(_short, value)) if isinstance(value, list | tuple) else _short(value)


def _options(parameters: Mapping[str, Any]) -> str:
    words = []
    for key, value in parameters.items():
        option = f"--{key.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words.append(f"{option} {shlex.quote(_listed(value))}")
    return "".join(f" {word}" for word in words)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _few(seeds: "tuple[int, ...] | list[int]") -> str:
    if len(seeds) <= MOST_SEEDS:
        return ", ".join(map(str, seeds))
    return f"{seeds[0]} to {seeds[-1]} ({len(seeds):,} of them)"


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, default=str) if values else ""
