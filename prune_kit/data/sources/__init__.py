"""One file a data source: `load(location, *, image_size, progress) -> Dataset`."""

from typing import Protocol, runtime_checkable

from prune_kit.data.dataset import Dataset
from prune_kit.progress import Listener, silent


@runtime_checkable
class Source(Protocol):
    """What a module of this folder must have."""

    def load(
        self, location: str, *, image_size: int | None = None, progress: Listener = silent
    ) -> Dataset:
        """The data set that lies at a place.

        Parameters
        ----------
        location
            What the user wrote behind the colon: a folder, a file, a function.
        image_size
            The side in pixels to which images are resized, where files are decoded.
        progress
            Who is told how far the reading is.

        Raises
        ------
        DataError
            If something is missing or damaged. The message names the file.
        """
