"""A workdir in which every stage has left its files, and a command line for every command."""

import os
import sys
from collections.abc import Callable
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import TextIO

import numpy as np

from prune_kit_cli.main import exit_code, program

TINY = ["--model", "mlp", "--train", "epochs=1", "--jobs", "1", "--device", "cpu"]
COMMANDS = sorted(program().commands)
HEAVY = ("weak-learners",)  # a second


def lines(folder: Path) -> dict[str, list[str]]:
    """A line of words for each command; what it trains is in the cache, once it has run."""
    found = {
        "score": ["--data", f"npz:{folder}/mine.npz", "--method", "el2n,consistency",
                  "--epoch", "1", "--runs", "2", *TINY],
        "select": ["--by", "el2n@1", "--keep", "0.5"],
        "clean": ["--by", "el2n@1", "--remove", "0.1"],
        "retrain": ["--selection", f"{folder}/work/selection.h5", "--runs", "1", "--baseline",
                    "none", *TINY],
        "export": ["--selection", f"{folder}/work/selection.h5", "--format", "csv"],
        "sweep": ["--help"],  # these would train for long
        "tune": ["--help"],
        "corrupt": ["--data", f"npz:{folder}/mine.npz"],
        "compare": ["--bootstrap", "0"],
        "dynamics": [f"{folder}/work/scores.h5"],
        "weak-learners": ["--by", "el2n@1", "--learners", "knn"],
        "report": ["--help"],  # it draws for seconds
        "info": ["--json"],
        "list": ["methods"],
        "demo": ["--help"],
        "reproduce": ["digits_demo", "--help"],
    }  # fmt: skip
    workdir = ["--workdir", f"{folder}/work"]
    return {name: [name, *words, *workdir] for name, words in found.items()}


def fill(folder: Path) -> None:
    """Run what trains once, and what the other lines read."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (40, 6, 6), dtype=np.uint8)
    np.savez(folder / "mine.npz", x_train=images, y_train=np.arange(40) % 2)
    given = lines(folder)
    assert sorted(given) == COMMANDS
    for name in ("score", "select", "retrain"):
        assert exit_code([*given[name], "--quiet"]) == 0, name


def encoded(name: str) -> Callable[[], TextIO | None]:
    """A stream of an encoding, which raises an error for what it lacks."""
    return lambda: TextIOWrapper(BytesIO(), encoding=name, errors="strict")


def full() -> TextIO:
    """A stream on a disk that is full."""
    return open("/dev/full", "w", encoding="utf-8")  # noqa: PTH123


def unread() -> TextIO:
    """A pipe whose reader has left."""
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "w", encoding="utf-8")


SITUATIONS: dict[str, Callable[[], TextIO | None]] = {
    "ascii": encoded("ascii"),
    "latin-1": encoded("latin-1"),
    "full": full,
    "closed": lambda: None,
    "unread": unread,
}


def with_streams(words: list[str], out: TextIO | None, err: TextIO | None) -> tuple[int, str, str]:
    """Run a line with these streams; give its exit code and what they took."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = out, err  # type: ignore[assignment]
    try:
        code = exit_code(words)
    finally:
        sys.stdout, sys.stderr = before
    texts = taken(out), taken(err)
    for stream in {out, err} - {None}:
        stream.close()
    return code, *texts


def taken(stream: TextIO | None) -> str:
    """What was written into a stream in memory; "" for another."""
    buffer = getattr(stream, "buffer", None)
    return buffer.getvalue().decode(stream.encoding) if isinstance(buffer, BytesIO) else ""


def one_line(text: str) -> bool:
    """Whether a text is the one line of an error."""
    return text.startswith("error: ") and text.count("\n") == 1 and "Traceback" not in text
