"""How commands load data: what they say of it, and how all bad files are listed at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prune_kit import registry
from prune_kit.errors import BadFilesError, DataError
from prune_kit_cli.screen import Screen

if TYPE_CHECKING:
    from prune_kit.data.dataset import Dataset
    from prune_kit.data.identity import Rows
    from prune_kit.progress import Listener

BAD_FILES = "bad_files.csv"
MOST_SHOWN = 30  # bad files on the screen; all are in BAD_FILES
USUAL = "digits"


def source_options(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of data sources out of the options of a command."""
    own = registry.package_options(registry.SOURCES)
    return {name: options.pop(name) for name in list(options) if name in own}


def named_data(data: str | None, rows: "Rows | None", trust: bool) -> str | None:
    """The data that a user names, else those of an earlier file, which may name code."""
    from prune_kit.data.spec import check_trusted

    if data is None and rows is not None:
        check_trusted(rows.data, trust)
        return rows.data
    return data


def loaded(
    screen: Screen,
    workdir: Path,
    data: str | None,
    *,
    labels: Path | None = None,
    key: str | None = None,
    progress: "Listener",
    **options: Any,
) -> "Dataset":
    """The data that a command names, or digits. Says how they were understood.

    Parameters
    ----------
    screen
        Where this is said.
    workdir
        Where bad files are listed.
    data, labels, key, progress, **options
        As of `load_data`.
    """
    from prune_kit.data.spec import load_data

    with listing_bad_files(screen, workdir):
        found = load_data(data or USUAL, labels=labels, key=key, progress=progress, **options)
    if data is None:
        screen.warn("no --data given: using digits, 1,797 real images that come with scikit-learn")
    return found


def loaded_again(
    screen: Screen,
    workdir: Path,
    rows: "Rows",
    data: str | None,
    *,
    trust: bool,
    progress: "Listener",
    **options: Any,
) -> "Dataset":
    """The data of an earlier file, from where they lie now.

    Parameters
    ----------
    screen
        Where bad files are told.
    workdir
        Where they are listed.
    rows, data, trust, progress, **options
        As of `results.reloading.load_again`.
    """
    from prune_kit.results.reloading import load_again

    with listing_bad_files(screen, workdir):
        return load_again(rows, data, trust=trust, progress=progress, **options)


def tell_notes(screen: Screen, data: "Dataset") -> None:
    """How the data were understood and prepared."""
    for note in filter(None, (data.preparation, *data.notes)):
        screen.note("", note)


@contextmanager
def listing_bad_files(screen: Screen, workdir: Path) -> Iterator[None]:
    """List bad files on the screen and in a CSV of the workdir, then refuse once.

    One line is enough for a single file.
    """
    from prune_kit.reporting.escaping import spelled_out
    from prune_kit.storage import files
    from prune_kit.storage.csv_files import csv_text

    try:
        yield
    except BadFilesError as error:
        if len(error.bad) == 1:
            raise
        target = workdir / BAD_FILES
        lines = [(spelled_out(path), reason) for path, reason in error.bad]
        text = csv_text([("path", "reason"), *lines])
        files.write_bytes(target, text.encode("utf-8", "replace"))
        for path, reason in lines[:MOST_SHOWN]:
            screen.note("", f"{path} {reason}")
        kinds = Counter(reason.partition(":")[0] for _, reason in error.bad)
        more = "; ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(3))
        way_out = (
            "Mend or remove them, or give skip_bad=True to go on without them"
            if len(error.bad) < error.total
            else "No other file is left"
        )
        raise DataError(
            f"{len(error.bad):,} of {error.total:,} files cannot be used ({more}); all are listed "
            f"in {target}. {way_out}"
        ) from error
