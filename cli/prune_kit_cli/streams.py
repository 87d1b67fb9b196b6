"""The standard streams, whatever the surroundings made of them.

A stream may be closed, full, a pipe that nobody reads, or of an encoding that lacks a character.
None of this stops a command: what it computes goes into files. What cannot be encoded is written in
other characters. The first failure of a stream is remembered, and the rest of its text is dropped.
"""

import codecs
import os
import sys
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

REPLACING = "prune_kit.replacing"  # the name of the error handler of codecs
INSTEAD = {
    "…": "...", "→": "->", "←": "<-", "×": "x", "·": ".", "•": "*", "±": "+-", "−": "-",
    "‐": "-", "‑": "-", "–": "-", "—": "-", "≤": "<=", "≥": ">=", "≈": "~",
    "‘": "'", "’": "'", "“": '"', "”": '"', "\u00a0": " ",
    **dict(zip("▁▂▃▄▅▆▇█", ".:-=+*%#", strict=True)),
}  # fmt: skip


class Stream:
    """A text stream that takes every text, and keeps its first failure instead of raising it."""

    def __init__(self, inner: TextIO | None) -> None:
        # a closed one is None, or not writable any more
        self.inner = None if inner is None or inner.closed else inner
        self.failure: OSError | None = None

    def write(self, text: str) -> int:
        """Write a text. It is dropped where the stream is closed or has failed."""
        if self.inner is not None and self.failure is None:
            try:
                self.inner.write(encodable(text, getattr(self.inner, "encoding", None)))
            except OSError as error:
                self._fail(error)
        return len(text)

    def flush(self) -> None:
        """Write what is still held back."""
        if self.inner is not None and self.failure is None:
            try:
                self.inner.flush()
            except OSError as error:
                self._fail(error)

    def isatty(self) -> bool:
        """Whether a person reads it."""
        return self.inner is not None and self.inner.isatty()

    @property
    def encoding(self) -> str:
        """The encoding of what it writes into."""
        return getattr(self.inner, "encoding", None) or "utf-8"

    @property
    def lost(self) -> str:
        """Why some text was lost, in words. A reader that has left had what it wanted."""
        failure = self.failure
        if failure is None or isinstance(failure, BrokenPipeError):
            return ""
        return failure.strerror or str(failure)

    def __getattr__(self, name: str) -> Any:
        inner = vars(self).get("inner")  # a copy that is being made has none yet
        if inner is None:
            raise AttributeError(name)
        return getattr(inner, name)

    def _fail(self, error: OSError) -> None:
        self.failure = error
        # Python would write what is held back once more at its end, and complain
        with suppress(OSError, ValueError, AttributeError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.inner.fileno())  # type: ignore[union-attr]
            os.close(nowhere)


@contextmanager
def guarded() -> Iterator[tuple[Stream, Stream]]:
    """Put a `Stream` in the place of the standard output and of the standard error."""
    before = sys.stdout, sys.stderr
    out, err = Stream(before[0]), Stream(before[1])
    sys.stdout, sys.stderr = out, err
    try:
        yield out, err
    finally:
        out.flush()
        err.flush()
        sys.stdout, sys.stderr = before


def open_closed() -> None:
    """Open the standard descriptors that are closed, so that no file of ours gets their numbers.

    Whoever writes to descriptor 1 would write into that file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)


def encodable(text: str, encoding: str | None) -> str:
    """A text with other characters for those that an encoding lacks.

    Parameters
    ----------
    text
        Any text, also one that holds bytes that were no text.
    encoding
        The name of the encoding. None stands for one that has every character.

    Returns
    -------
    str
        The text. Lines and blocks become those of ASCII, and other characters `\\xe9` or `\\u2192`.
    """
    if encoding is None or text.isascii():
        return text
    try:
        return text.encode(encoding, REPLACING).decode(encoding)
    except LookupError:  # an encoding that Python does not know
        return text.encode("ascii", REPLACING).decode()


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    characters = error.object[error.start : error.end]
    return "".join(map(_instead, characters)), error.end


def _instead(character: str) -> str:
    """A character in those of ASCII."""
    if character in INSTEAD:
        return INSTEAD[character]
    name = unicodedata.name(character, "")
    if not name.startswith("BOX DRAWINGS "):
        return character.encode("ascii", "backslashreplace").decode()
    if " AND " in name:
        return "+"
    return "|" if name.endswith(("VERTICAL", "UP", "DOWN")) else "-"


codecs.register_error(REPLACING, _replaced)
