"""What a training goes on from, saved at the end of some epochs, and when the user interrupts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from prune_kit.runs.tensor_files import owned, read_tensors, write_tensors

# save the state every minute, or as often as saving costs 1% of the time
STATE_INTERVAL = 60.0
STATE_SHARE = 0.01
# bytes of a state up to which it is kept in memory, to be saved when the user interrupts
MOST_KEPT = 2**30
State = tuple[dict[str, torch.Tensor], dict[str, str]]


class SavedState:
    """The state of a training after one of its epochs: in a file, or a newer one in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._saved_epoch, self._saved_at, self._seconds = -1, time.monotonic(), 0.0
        self._unsaved: State | None = None

    def read(self) -> tuple[int, State] | None:
        """Give the epoch and the state that were saved, if any were.

        Raises FileError when the file is damaged.
        """
        if not self.path.is_file():
            return None
        tensors, metadata = read_tensors(self.path)
        self._saved_epoch = int(metadata["epoch"])
        return self._saved_epoch, (tensors, metadata)

    def keep(self, epoch: int, state: State, *, save: bool = False) -> None:
        """Keep a copy of a state: in the file if it is time, else in memory.

        The file stays as it is where it has a later epoch.

        Parameters
        ----------
        epoch : after which this is the state.
        state : its tensors by name, and its metadata.
        save : whether it goes to the file in any case.

        Raises
        ------
        FileError when the file cannot be written.
        """
        tensors, metadata = state
        due = save or time.monotonic() - self._saved_at > min(
            STATE_INTERVAL, self._seconds / STATE_SHARE
        )
        self._unsaved = None
        if due and epoch <= self._saved_epoch:
            return
        if due or sum(tensor.nbytes for tensor in tensors.values()) <= MOST_KEPT:
            started = time.monotonic()
            self._unsaved = owned(tensors), metadata | {"epoch": str(epoch)}
            if due:
                self._write()
                self._saved_epoch, self._saved_at = epoch, time.monotonic()
                self._seconds = self._saved_at - started

    def discard(self) -> None:
        """Nothing goes on from here."""
        self._unsaved = None
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        """Write what is in memory. It stays there until then, for writing may be interrupted."""
        if self._unsaved is not None:
            write_tensors(self.path, *self._unsaved)
            self._unsaved = None

    @contextmanager
    def saved_on_interrupt(self) -> Iterator[None]:
        """Should the user interrupt inside, save what is only in memory."""
        try:
            yield
        except KeyboardInterrupt:
            self._write()
            raise
