"""What a training goes on from: saved now and then at the end of an epoch, and when the user interrupts."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from prune_kit.runs.tensor_files import owned, read_tensors, write_tensors

STATE_INTERVAL, STATE_SHARE = (
    60.0,
    0.01,
)  # save the state every minute, or as often as saving costs 1% of the time
MOST_KEPT = (
    2**30
)  # bytes of a state up to which it is kept in memory, to be saved when the user interrupts
State = tuple[dict[str, torch.Tensor], dict[str, str]]


class SavedState:
    """The state of a training after one of its epochs: tensors and metadata in a file, or newer ones in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._saved_epoch, self._saved_at, self._seconds = -1, time.monotonic(), 0.0
        self._unsaved: State | None = None

    def read(self) -> tuple[int, State] | None:
        """The epoch and the state that were saved, if any were. Raises FileError when the file is damaged."""
        if not self.path.is_file():
            return None
        tensors, metadata = read_tensors(self.path)
        self._saved_epoch = int(metadata["epoch"])
        return self._saved_epoch, (tensors, metadata)

    def keep(self, epoch: int, state: State, *, save: bool = False) -> None:
        """Keep a copy of the state after `epoch`: in the file if told to or if it is time, else in memory.

        The file stays as it is where it has a later epoch. Raises FileError when it cannot be
        written.
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
        """Write what is in memory, which stays there until it is whole: the user may interrupt the writing."""
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
