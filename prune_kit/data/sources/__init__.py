"""One file a data source: `load(location, *, progress, ...) -> Dataset`.

`OPTIONS`, if it is there, declares the other options that a source takes (`registry.Option`).
"""

from typing import Any, Protocol, runtime_checkable

from prune_kit.data.dataset import Dataset
from prune_kit.progress import Listener, silent


@runtime_checkable
class Source(Protocol):
    """What a module of this folder must have."""

    def load(self, location: str, *, progress: Listener = silent, **options: Any) -> Dataset:
        """The data set that lies at a place.

        Parameters
        ----------
        location
            What the user wrote behind the colon: a folder, a file, a function.
        progress
            Who is told how far the reading is.
        options
            Every option that the module declares.

        Raises
        ------
        DataError
            If something is missing or damaged. The message names the file.
        """
