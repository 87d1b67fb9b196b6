"""The data that a file of ours speaks of: loaded again, or another copy of it that the file is matched with."""

from collections.abc import Mapping
from dataclasses import replace

from prune_kit.data.dataset import Dataset
from prune_kit.data.identity import Rows
from prune_kit.data.spec import check_trusted, load_data
from prune_kit.errors import IdentityError
from prune_kit.progress import Listener, silent
from prune_kit.results.removal import Removal
from prune_kit.results.selection import Selection


def load_again(
    rows: Rows,
    data: str | None = None,
    *,
    image_size: int | None = None,
    trust: bool = False,
    progress: Listener = silent,
) -> Dataset:
    """The data set that a file speaks of, from where it was or from a new location, under the labels of the file.

    Whether it is the same data is for the verb to check. Code that the file names as its data is
    run only with `trust`: the file may be a stranger's. Raises OptionError, DataError.
    """
    if data is None:
        check_trusted(rows.data, trust)
    size = rows.options.get("image_size") if image_size is None else image_size
    loaded = load_data(data or rows.data, image_size=size, progress=progress)
    if "labels_file" in rows.options and len(loaded) == len(rows):
        loaded = loaded.relabelled(rows.label, rows.options["labels_file"])
    return loaded


def aligned(
    data: Dataset, selections: Mapping[str, Selection | Removal]
) -> tuple[Dataset, dict[str, Selection | Removal]]:
    """The selections and removals re-mapped, by content, onto the rows of `data`; and it under their labels and roles.

    For the same examples in another order, a subset, or a superset. Raises IdentityError when
    nothing is in common.
    """
    moved = {name: selection.aligned_to(data.rows) for name, selection in selections.items()}
    rows = next(iter(moved.values())).rows
    if data.outside_test is None and len(rows.training) == len(rows):
        raise IdentityError(
            f"{data.name} has no test set, and the selection held none of its rows out to test on"
        )
    return replace(data, rows=rows), moved
