"""The data set of one of our files: loaded again, or matched with another copy of it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from prune_kit import registry
from prune_kit.data.dataset import Dataset
from prune_kit.data.identity import Rows
from prune_kit.data.spec import check_trusted, load_data, source_of
from prune_kit.errors import IdentityError
from prune_kit.progress import Listener, silent
from prune_kit.results.removal import Removal
from prune_kit.results.selection import Selection


def load_again(
    rows: Rows,
    data: str | None = None,
    *,
    trust: bool = False,
    progress: Listener = silent,
    **options: Any,
) -> Dataset:
    """Load the data set of a file again, with the labels of the file.

    This does not check whether it is the same data; the verb does.

    Parameters
    ----------
    rows
        The rows of the file.
    data
        A new location of the data; None for the one that the file names.
    trust
        Whether to run code that the file names as its data. The file may come from a stranger.
    progress
        Called while the data are read.
    **options
        Options of the source, in the place of those that the file names.

    Raises
    ------
    OptionError, DataError
        The data cannot be loaded, or the file names code and `trust` is False.
    """
    if data is None:
        check_trusted(rows.data, trust)
    source, _ = source_of(data or rows.data)
    takes = registry.entry_options(registry.SOURCES, source)
    earlier = {name: value for name, value in rows.options.items() if name in takes}
    loaded = load_data(data or rows.data, progress=progress, **{**earlier, **options})
    if "labels_file" in rows.options and len(loaded) == len(rows):
        loaded = loaded.relabelled(rows.label, rows.options["labels_file"])
    return loaded


def aligned(
    data: Dataset, selections: Mapping[str, Selection | Removal]
) -> tuple[Dataset, dict[str, Selection | Removal]]:
    """Match selections and removals with another copy of their data, by the content of its rows.

    The copy may hold the examples in another order, a subset of them, or more.

    Returns
    -------
    Dataset
        `data` with the labels and the roles of the selections.
    dict
        The selections and removals over the rows of `data`.

    Raises
    ------
    IdentityError
        No example is in common, or no row is left to test on.
    """
    moved = {name: selection.aligned_to(data.rows) for name, selection in selections.items()}
    rows = next(iter(moved.values())).rows
    if data.outside_test is None and len(rows.training) == len(rows):
        raise IdentityError(
            f"{data.name} has no test set, and the selection held none of its rows out to test on"
        )
    return replace(data, rows=rows), moved
