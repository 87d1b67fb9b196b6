"""The command info: what a file of ours holds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from prune_kit_cli import options as o

if TYPE_CHECKING:
    from prune_kit.errors import FileError
    from prune_kit.results.column import ScoreColumn
    from prune_kit.results.outcomes import Outcomes
    from prune_kit.results.table import ScoreTable

Described = tuple[dict[str, Any], list[Any]]  # JSON values, and things to print


def info(
    file: Annotated[
        Path | None,
        o.argument("FILE", "One of our files (default: all in the workdir)."),
    ] = None,
    verify: Annotated[
        bool,
        o.option(
            o.DATA, "--verify", help="Compare each file with the checksum that was written with it."
        ),
    ] = False,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
) -> None:
    """Say what a file of ours holds: scores, a selection, a removal, labels, outcomes.

    Of a workdir every file is told; one that cannot be read is named at the end, and the exit code
    is 2. Of a score table above 256 MiB only what is shown is read; --verify reads every byte, of a
    workdir also those of the trainings in runs/.

    Example: prune-kit info prune-kit-work/scores.h5
    """
    from prune_kit.errors import FileError
    from prune_kit_cli.views.tables import Screen, error_line

    screen = Screen(as_json, quiet)
    paths, runs = [file] if file else sorted(workdir.glob("*.h5")), workdir / o.RUNS
    if not paths and not (verify and runs.is_dir()):
        only_trainings = (
            f"there is nothing but trainings in {workdir}. The command that began them goes on "
            "with them: repeat it"
        )
        nothing = f"there are no files in {workdir}. Start with: prune-kit score, or prune-kit demo"
        raise FileError(only_trainings if runs.is_dir() else nothing)
    described, unreadable = [], []
    for path in paths:
        try:
            described.append(_verified(path) if verify else _describe(path))
        except FileError as error:
            unreadable.append(error)
    if verify and file is None and runs.is_dir():
        verified, damaged = _verified_runs(runs)
        described.append(verified)
        unreadable += damaged
    if file is None or described:
        values = [value for value, _ in described]
        screen.result(
            values[0] if file else {"files": values},
            *(item for _, shown in described for item in shown),
        )
    for earlier in unreadable[:-1]:
        error_line(str(earlier))
    if unreadable:
        raise unreadable[-1]


def _verified(path: Path) -> Described:
    """Whether a file is what was written.

    Raises FileError when it is not, or says nothing of it.
    """
    from prune_kit.errors import FileError
    from prune_kit.storage import files, hdf5
    from prune_kit_cli.views.tables import path_of

    with hdf5.reading_hdf5(path) as file:
        kind = str(file.attrs["format"]).removeprefix("prune_kit.")
    holds = files.checksum_holds(path)
    if not holds:
        what = (
            "has no checksum: an older version wrote it"
            if holds is None
            else "is damaged: its checksum fails"
        )
        raise FileError(f"{path} {what}")
    return {"file": path, "format": kind, "checksum": holds}, [
        f"{path_of(path)}: {kind}, as it was written"
    ]


def _verified_runs(folder: Path) -> tuple[Described, list["FileError"]]:
    """How many files of trainings are what was written, and what is wrong with the others."""
    from prune_kit.runs.verification import verify_runs
    from prune_kit_cli.views.tables import path_of

    count, damaged = verify_runs(folder)
    values = {"file": folder, "format": "runs", "files": count, "damaged": len(damaged)}
    whole = f"{count - len(damaged):,} of {count:,}"
    shown = f"{path_of(folder)}: {whole} files of trainings, as they were written"
    return (values, [shown]), damaged


def _describe(path: Path) -> Described:
    """What a file holds. Raises FileError when it cannot be read."""
    from rich.text import Text

    from prune_kit.storage import hdf5
    from prune_kit_cli.views.tables import path_of

    with hdf5.reading_hdf5(path) as file:
        kind = str(file.attrs["format"]).removeprefix("prune_kit.")
        head = {name: _attribute(value) for name, value in file.attrs.items()}
    title = Text(
        f"{path_of(path)}: {kind}, made {head.get('created')} from {head.get('data')}", style="bold"
    )
    kinds: dict[str, Callable[[Path], Described]] = {
        "scores": _scores,
        "selection": _selection,
        "removal": _removal,
        "labels": _labels,
        "outcomes": _outcomes,
    }
    values, shown = kinds[kind](path) if kind in kinds else ({}, [])
    return head | values, [title, *shown]


def _scores(path: Path) -> Described:
    import numpy as np

    from prune_kit.data.identity import TRAIN
    from prune_kit.results.table import ScoreTable
    from prune_kit.storage import hdf5
    from prune_kit_cli.views.tables import error_lines, probes_sentence, score_table

    large = (
        path.stat().st_size > hdf5.CHECKED_BYTES
    )  # smaller ones have been compared with their checksum
    table = ScoreTable.read(path, extras=("per_ratio", "per_ratio_votes"), glance=large)
    names = list(table.columns)
    columns = {
        name: {
            "harder": c.harder,
            "runs": c.runs,
            "seconds": c.seconds,
            "companion": c.companion,
            **c.parameters,
        }
        | _standard_error(c)
        for name, c in table.columns.items()
    }
    counts = [
        f"{len(table.rows):,} rows, {np.count_nonzero(table.rows.role == TRAIN):,} of them train"
    ]
    if len(table.probes):
        counts.append(f"probes: {probes_sentence(table)}")
    values = {"rows": len(table.rows), "probes": len(table.probes), "columns": columns}
    return values, [
        *counts,
        score_table(table, names),
        *_made_with(table),
        *error_lines(table, names),
    ]


def _made_with(table: "ScoreTable") -> list[str]:
    """The trainings behind the columns, and the options of the methods that have any."""
    lines = list[str]()
    trained = sorted(
        (column for column in table.columns.values() if column.setup),
        key=lambda column: not column.runs,
    )
    if trained and (setup := trained[0].setup):
        if not trained[0].runs:  # precision and threads of folds are told with their error
            setup = replace(setup, precision=None, threads=None)
        lines.append(f"networks: {setup.describe()}, seed {setup.seed} on")
    options: dict[str, list[str]] = {}
    for column in table.columns.values():
        said = "; ".join(
            f"{key} {_listed(value)}" for key, value in column.options.items() if value is not None
        )
        if said:
            options.setdefault(said, []).append(column.method)
    return lines + [
        f"{', '.join(dict.fromkeys(methods))}: {said}" for said, methods in options.items()
    ]


def _retrained(outcomes: "Outcomes") -> list[str]:
    """The setup of the latest retraining, which in a search is that in full length.

    Nothing where an older file does not say.
    """
    latest = outcomes.latest
    if latest is None or latest.setup is None:
        return []
    budget = f", the same number of {latest.budget} for every set" if latest.budget else ""
    first = min(row.seed for row in outcomes.rows)
    return [f"networks: {latest.setup.describe()}, seed {first} on{budget}"]


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _standard_error(column: "ScoreColumn") -> dict[str, float]:
    """That of an example's score, where a column averages votes."""
    if "per_ratio" not in column.extras:
        return {}
    from prune_kit.scorers.cscore import typical_error

    return {"standard_error": typical_error(column)}


def _selection(path: Path) -> Described:
    from prune_kit.results.selection import Selection
    from prune_kit_cli.views.histogram import histogram
    from prune_kit_cli.views.tables import class_table

    selection = Selection.read(path)
    shares = dict(zip(selection.rows.class_names, selection.class_shares(), strict=True))
    values = {"rows": len(selection.rows), "kept": len(selection.index), "class_shares": shares}
    picture = filter(None, [histogram(selection)])
    return values, [selection.describe(), *picture, class_table(selection)]


def _removal(path: Path) -> Described:
    from prune_kit.results.removal import Removal
    from prune_kit_cli.views.removal import removal_json, removal_shown

    removal = Removal.read(path)
    return removal_json(removal), removal_shown(removal)


def _labels(path: Path) -> Described:
    from prune_kit.data.noise import NoisyLabels

    noisy = NoisyLabels.read(path)
    touched, wrong = int(noisy.touched.sum()), len(noisy.wrong)
    said = ", ".join(
        f"{key} {value}" for key, value in noisy.parameters.items() if value is not None
    )
    rows = f"{touched:,} of {len(noisy.rows.training):,} training rows touched"
    line = f"{said}: {rows}, {wrong:,} labels wrong"
    return {**noisy.parameters, "touched": touched, "wrong": wrong}, [line]


def _outcomes(path: Path) -> Described:
    from prune_kit.results.claims import claims
    from prune_kit.results.outcomes import Outcomes
    from prune_kit.retraining.tuning import found_of, goal_of, is_search, rounds_of
    from prune_kit_cli.views.search import full_json, rounds_json, search_table
    from prune_kit_cli.views.tables import outcome_table, outcomes_json

    outcomes = Outcomes.read(path)
    if is_search(outcomes):
        rounds = rounds_of(outcomes)
        goal, met = goal_of(rounds)
        sought = f" for {goal.describe()}{'' if met else ', which none meets'}" if goal else ""
        line = (
            f"a search for a window{sought}: accuracies on a validation split, not on the test set"
        )
        described = {"rounds": rounds_json(rounds), "full": full_json(rounds)}
        described |= {"goal": goal.words if goal else None, "met": met}
        return described, [
            line,
            search_table(rounds, found_of(rounds), met),
            *_retrained(rounds[-1]),
        ]
    lines = [*_retrained(outcomes), outcome_table(outcomes), *claims(outcomes)]
    return {"outcomes": outcomes_json(outcomes)}, lines


def _attribute(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)
