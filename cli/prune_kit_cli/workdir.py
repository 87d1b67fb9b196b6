"""The files of a workdir: where each stage finds the one before it, and what it may replace."""

import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from prune_kit.errors import FileError, OptionError
from prune_kit.protocol.setup import spelled
from prune_kit.results.outcomes import Outcomes
from prune_kit.results.removal import Removal, csv_path
from prune_kit.results.selection import Selection
from prune_kit.results.table import ScoreTable
from prune_kit.storage import hdf5
from prune_kit.storage.files import target_of
from prune_kit.storage.paths import absolute, check_is_text, expanded
from prune_kit.storage.workdir import SCORES as SCORES
from prune_kit_cli.options import DEFAULT_WORKDIR
from prune_kit_cli.options import RUNS as RUNS

if TYPE_CHECKING:
    from prune_kit.data.dataset import Dataset
    from prune_kit.data.identity import Rows
    from prune_kit_cli.screen import Screen

SELECTION, OUTCOMES, LABELS = "selection.h5", "outcomes.h5", "labels.h5"
REMOVAL, SWEEP, REPORT = "removal.h5", "sweep.h5", "report.html"
MOST_GONE = 10
TUNE, TUNE_PICTURE = "tune.h5", "tune.png"


def read_scores(workdir: Path, path: Path | None = None) -> ScoreTable:
    """The score table of the workdir, or another one, without what later stages do not need."""
    return ScoreTable.read(path or workdir / SCORES, extras=False)


def selection_files(workdir: Path) -> list[Path]:
    """Every selection file in the workdir, and every removal file."""
    found = [
        path
        for path in sorted(workdir.glob("*.h5"))
        if hdf5.kind_of(path) in ("selection", "removal")
    ]
    if not found:
        raise FileError(
            f"there is no selection in {workdir}. Make one with: prune-kit select --keep 0.5, "
            "or a removal with: prune-kit clean"
        )
    return found


def one_selection(workdir: Path, given: Path | None) -> tuple[Path, Selection | Removal]:
    """The selection or removal that was named, or the only one of the workdir, with its path.

    Raises OptionError, which lists them, when there are several.
    """
    paths = [given] if given else selection_files(workdir)
    if len(paths) > 1:
        listed = [f"{path}{' (a removal)' * (hdf5.kind_of(path) == 'removal')}" for path in paths]
        raise OptionError(f"which selection? Say --selection FILE, one of: {', '.join(listed)}")
    return paths[0], read_selection(paths[0])


def read_selection(path: Path) -> Selection | Removal:
    """A selection or a removal, whichever the file is. Raises FileError when it is neither."""
    with hdf5.reading_hdf5(path, made_by="prune-kit select or clean") as file:
        kind = str(file.attrs["format"])
    if kind not in ("prune_kit.selection", "prune_kit.removal"):
        raise FileError(
            f"{path} is {kind}; expected prune_kit.selection or prune_kit.removal, which prune-kit "
            "select and clean write"
        )
    return Removal.read(path) if kind == "prune_kit.removal" else Selection.read(path)


def check_list_target(out: Path | None, source: Path) -> None:
    """Raise OptionError when a list would replace a folder, a file of ours, or a list of suspects.

    `source` is the selection or removal that is written out.
    """
    if out is None:
        return
    is_removal = hdf5.kind_of(source) == "removal"
    if is_removal and absolute(out) == csv_path(absolute(source)):
        raise OptionError(
            f"{out} is the list of suspects, most suspect first; write to another file than that"
        )
    if out.exists() and (not out.is_file() or hdf5.is_hdf5(out)):
        what = "an HDF5 file" if out.is_file() else "no regular file"
        raise OptionError(f"{out} is there already, and is {what}; write the list to another")
    target_of(out)


def tell_replaced(screen: "Screen", path: Path, outcomes: Outcomes) -> None:
    """Say what an outcomes file will no longer hold, and of which protocol it was."""
    before = Outcomes.read(path) if path.is_file() else outcomes
    gone = sorted({row.selection for row in before.rows} - {row.selection for row in outcomes.rows})
    seeds = sorted({row.seed for row in before.rows} - {row.seed for row in outcomes.rows})
    words = gone[:MOST_GONE] + (
        [f"{len(gone) - MOST_GONE:,} more"] if len(gone) > MOST_GONE else []
    )
    words += (
        [f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds[:MOST_GONE]))}"] if seeds else []
    )
    if words:
        screen.warn(f"{path.name} no longer holds: {', '.join(words)} (their networks are cached)")
    differing = _changes(before, outcomes)
    if differing:
        screen.warn(f"{path.name} held another protocol's outcomes: {', '.join(differing)}")


def _changes(before: Outcomes, now: Outcomes) -> list[str]:
    """What the latest trainings of two outcomes differ in, in words."""
    was, latest = before.latest, now.latest
    if was is None or latest is None or was.setup is None or latest.setup is None:
        return []
    changed = was.setup.differences(replace(latest.setup, seed=was.setup.seed))
    if was.budget and was.budget != latest.budget:
        changed["budget"] = (was.budget, latest.budget)
    return [
        f"{name} {spelled(value)} (now {spelled(present)})"
        for name, (value, present) in changed.items()
    ]


def retrained_otherwise(workdir: Path, path: Path, selection: Selection) -> bool:
    """Whether the outcomes in the workdir are of other rows than the selection at `path` keeps."""
    outcomes = workdir / OUTCOMES
    return (
        outcomes.is_file()
        and Outcomes.read(outcomes).trained_on(path.stem, selection.index) is False
    )


def tell_data(screen: "Screen", data: "Dataset", rows: "Rows | None") -> None:
    """What was loaded.

    And where an earlier file of these examples, of `rows`, calls a class by another name.
    """
    screen.note("data", data.describe())
    if (
        rows is None
        or rows.fingerprint != data.fingerprint
        or len(rows.class_names) != len(data.class_names)
    ):
        return
    renamed = [
        f"{now} was {then}"
        for now, then in zip(data.class_names, rows.class_names, strict=True)
        if now != then
    ]
    if renamed:
        more = f", and {len(renamed) - 3} more" if len(renamed) > 3 else ""
        screen.warn(
            f"the same examples, but classes have other names now: {', '.join(renamed[:3])}{more}"
        )


def tell_chance(screen: "Screen", data: "Dataset", outcomes: Outcomes) -> None:
    """Warn where no network is better than saying the most frequent class of the test set.

    Better is by two standard errors.
    """
    label = data.test.label
    share = float(np.bincount(label).max() / len(label))
    best = max(summary.mean for summary in outcomes.summaries())
    if best <= share + 2 * np.sqrt(share * (1 - share) / len(label)):
        screen.warn(
            f"the best accuracy is {best:.1%}, and the most frequent class alone has {share:.1%} "
            f"of the {len(label):,} test examples: nothing was learned, so the comparison says "
            "nothing"
        )


def read_selections(workdir: Path, given: list[Path] | None) -> dict[str, Selection | Removal]:
    """The selections and removals that were named, or all of the workdir, by file name."""
    paths = given or selection_files(workdir)
    for path in paths:  # by their names the outcomes list them
        check_is_text(path.name, "the name of the selection")
    selections = {path.stem: read_selection(path) for path in paths}
    if len(selections) < len(paths):
        raise OptionError(
            "two selection files have the same name; rename one, the outcomes are listed by it"
        )
    return selections


def check_target(path: Path, kind: str) -> None:
    """Raise OptionError where writing would replace another kind of file, or no file at all.

    Also where the name has the ending of a kind that is not HDF5.
    """
    if path.suffix in (".csv", ".npy", ".txt", ".json"):
        raise OptionError(f"--out {path}: this file is HDF5; name it {path.with_suffix('.h5')}")
    if path.exists() and (
        not path.is_file() or not hdf5.is_hdf5(path) or hdf5.kind_of(path) != kind
    ):
        raise OptionError(
            f"--out {path} is there already, and is no {kind} file; name another, or remove a "
            "damaged one"
        )
    target_of(path)


def check_removal_target(path: Path) -> None:
    """As `check_target`, and the CSV beside the removal must not replace another's."""
    check_target(path, "removal")
    beside = target_of(csv_path(path))
    if beside.exists() and not beside.read_bytes().startswith(b"id,index,given_label"):
        raise OptionError(
            f"the list would go to {beside}, which is there already and is none of ours; name "
            "another --out"
        )


def workdir_words(workdir: Path) -> str:
    """The words that lead the next command to the same workdir."""
    usual = expanded(os.environ.get("PRUNE_KIT_WORKDIR", DEFAULT_WORKDIR))
    return "" if workdir == usual else f" --workdir {shlex.quote(str(workdir))}"
