"""The command lines that make a result again, as far as the files record it."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prune_kit.data.dataset import Dataset
from prune_kit.protocol.defaults import protocol
from prune_kit.protocol.execution import FOLD_THREADS, device_kind
from prune_kit.protocol.setup import Setup, shell_word, spelled
from prune_kit.results.cells import AXES
from prune_kit.results.column import ScoreColumn
from prune_kit.results.outcomes import FULL, RANDOM, Outcomes, is_baseline
from prune_kit.results.removal import Removal
from prune_kit.results.selection import Selection
from prune_kit.results.table import ScoreTable
from prune_kit.retraining.groups import BASELINES
from prune_kit.retraining.plan import BUDGETS
from prune_kit.retraining.tuning import (
    SEARCH_SEEDS,
    TOP,
    VALIDATION,
    goal_of,
    grid_of,
    is_search,
    rounds_of,
    validation_of,
)

Result = ScoreTable | Selection | Removal | Outcomes | None


def command_lines(data: Dataset, results: Mapping[str, Result]) -> tuple[str, ...]:
    """The commands, in order: of the table, the selection, the removal, and of the retrainings.

    A command of retrainings names what it would not take over from the scores.
    """
    lines: list[str] = []
    chosen = [
        result.setup
        for result in results.values()
        if isinstance(result, Selection | Removal) and result.setup
    ]
    table = results.get("table")
    of_table = table.setup if isinstance(table, ScoreTable) else None
    for result in results.values():
        if isinstance(result, ScoreTable):
            lines += _scoring(data, result)
        elif isinstance(result, Selection):
            by = f" --by {shlex.quote(result.column)}" if result.column else ""
            rule = f" --rule {shlex.quote(result.rule)}"
            lines.append(f"prune-kit select{rule}{by}{_options(result.parameters)}")
        elif isinstance(result, Removal):
            lines.append(_cleaning(result))
        elif isinstance(result, Outcomes) and result.rows:
            if result.cells:
                lines.append(_searching(data, result, of_table))
            else:
                lines.append(_retraining(data, result, chosen[0] if chosen else None))
    return tuple(lines)


def _scoring(data: Dataset, table: ScoreTable) -> list[str]:
    """The commands that score. Columns with the same epochs, runs and options share a command."""
    groups: dict[tuple[str, str, int], list[ScoreColumn]] = {}
    by_method: dict[str, list[ScoreColumn]] = {}
    for column in table.columns.values():
        if not column.companion:
            by_method.setdefault(f"{column.method} {_json(column.options)}", []).append(column)
    for columns in by_method.values():
        epochs = sorted(
            int(epoch) for c in columns if (epoch := c.name.partition("@")[2]).isdigit()
        )
        key = ",".join(map(str, epochs)), _options(columns[0].options), columns[0].runs
        groups.setdefault(key, []).extend(columns)
    labels = data.rows.options.get("labels_file")
    spec = shlex.quote(data.rows.data) + (f" --labels {shlex.quote(str(labels))}" if labels else "")
    lines = []
    for (epoch, options, runs), columns in groups.items():
        methods = ",".join(dict.fromkeys(column.method for column in columns))
        words = f"prune-kit score --data {spec} --method {shlex.quote(methods)}"
        words += f" --epoch {epoch}" if epoch else ""
        words += f" --runs {runs}" if runs else ""
        words += options + _options({"seed": columns[0].parameters.get("seed")})
        setup = columns[0].setup
        if setup:
            usual = Setup(protocol=protocol(data), device=device_kind())
            words += replace(setup, **_arithmetic(columns, setup)).words(usual)
        lines.append(words)
    return lines


def _arithmetic(columns: list[ScoreColumn], setup: Setup) -> dict[str, Any]:
    """The precision and the threads of the trainings, as far as a command line has words for them.

    There are no words for networks and gradients (or folds) in different precisions: that is how
    they come unasked.
    """
    parameters = columns[0].parameters
    if "fold_precision" in parameters:
        threads = parameters.get("fold_threads")
        same = parameters["fold_precision"] == setup.precision
        return {
            "precision": setup.precision if same else None,
            "threads": None if threads == FOLD_THREADS else threads,
        }
    measured = {
        str(column.parameters.get("gradient_precision", setup.precision)).partition(" ")[0]
        for column in columns
    }
    return {"precision": setup.precision if measured == {setup.precision} else None}


def _cleaning(removal: Removal) -> str:
    by = f" --by {shlex.quote(removal.column)}" if removal.column else ""
    known = {
        key: value
        for key, value in removal.parameters.items()
        if key in ("remove", "per_class", "holdout")
    }
    cut = (
        ""
        if removal.parameters.get("remove") is not None
        else f" --cut {shlex.quote(removal.cut_method)}"
    )
    return f"prune-kit clean{by}{cut}{_options(known)}"


def _retraining(data: Dataset, outcomes: Outcomes, earlier: Setup | None) -> str:
    names = dict.fromkeys(row.selection for row in outcomes.rows)
    own = [name for name in names if not is_baseline(name)]
    relabelled = [
        name
        for name in own
        if name.removesuffix("-relabelled") in own and name.endswith("-relabelled")
    ]
    named = [f"{name} (trained by prune-kit tune alone)" if name == TOP else name for name in own]
    words = " --relabel" * bool(relabelled) + _baselines(outcomes)
    words += _trainings(data, outcomes, earlier)
    of = ", ".join(name for name in named if name not in relabelled) or "the baselines"
    return f"prune-kit retrain{words}   # of {of}"


def _searching(data: Dataset, outcomes: Outcomes, earlier: Setup | None) -> str:
    """The command of a sweep, or of the search that tune makes."""
    rounds = rounds_of(outcomes) if is_search(outcomes) else ()
    axes = (
        grid_of(rounds)
        if rounds
        else {key: [cell[key] for cell in outcomes.cells.values()] for key in AXES}
    )
    lists = {key: ",".join(dict.fromkeys(map(spelled, values))) for key, values in axes.items()}
    words = "".join(f" --{key} {shlex.quote(value)}" for key, value in lists.items())
    if not rounds:
        return f"prune-kit sweep{words}{_baselines(outcomes)}{_trainings(data, outcomes, earlier)}"
    goal, _ = goal_of(rounds)
    words += f" --goal {shlex.quote(goal.words)}" if goal else ""
    words += f" --validation {validation_of(rounds):g}" * (validation_of(rounds) != VALIDATION)
    return f"prune-kit tune{words}{_trainings(data, rounds[-1], earlier, SEARCH_SEEDS)}"


def _baselines(outcomes: Outcomes) -> str:
    trained = {
        FULL if row.selection == FULL else RANDOM
        for row in outcomes.rows
        if is_baseline(row.selection)
    }
    words = ",".join(name for name in BASELINES if name in trained) or "none"
    return "" if trained == set(BASELINES) else f" --baseline {words}"


def _trainings(
    data: Dataset, outcomes: Outcomes, earlier: Setup | None, seeds_from: int = 0
) -> str:
    """Seeds, budget and setup of retrainings, as far as a bare command would not have them.

    A bare command takes over what it can from an `earlier` file, that of the scores.
    """
    seeds = sorted({row.seed for row in outcomes.rows})
    latest = outcomes.rows[-1]
    budget = latest.budget if latest.budget != BUDGETS[0] else None
    words = _options({"runs": len(seeds), "seed": seeds[0] - seeds_from, "budget": budget})
    if latest.setup is None:
        return words
    usual = earlier or Setup(protocol=protocol(data))
    usual = replace(
        usual,
        device=device_kind(),
        observe=latest.setup.observe,  # of scores alone, as probes are
        probes=latest.setup.probes,
    )
    return words + latest.setup.words(usual)


def _options(parameters: Mapping[str, Any]) -> str:
    words = []
    for key, value in parameters.items():
        option = f"--{key.replace('_', '-')}"
        if value is True:
            words.append(option)
        elif value is not None and value is not False:
            words.append(f"{option} {shell_word(value)}")
    return "".join(f" {word}" for word in words)


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, sort_keys=True, default=str) if values else ""
