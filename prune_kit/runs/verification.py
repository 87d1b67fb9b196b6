"""Whether what is kept of trainings is what was written."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from prune_kit.errors import FileError
from prune_kit.runs.cache import key_of
from prune_kit.runs.signal_files import REMEDY
from prune_kit.runs.tensor_files import read_tensors
from prune_kit.storage import files


def verify_runs(folder: Path) -> tuple[int, list[FileError]]:
    """How many files of trainings are in `folder` and below, and what is wrong with those that are damaged.

    Each is compared with the checksum that was written with it, the inputs of a training with the
    name of its folder, which is their hash.
    """
    count, wrong = 0, list[FileError]()
    for path in sorted(folder.rglob("*")):
        check = CHECKS.get(path.name, CHECKS.get(path.suffix))
        if check is None:
            continue
        count += 1
        try:
            check(path)
        except FileError as error:
            wrong.append(error)
    return count, wrong


def _check_arrays(path: Path) -> None:
    if not files.checksum_holds(path):
        raise FileError(f"{path} is damaged: its checksum does not hold. {REMEDY}")


def _check_inputs(path: Path) -> None:
    try:
        whole = key_of(files.read_json(path)) == path.parent.name
    except FileError:
        whole = False
    if not whole:
        raise FileError(
            f"{path} is damaged: the name of its folder is not its hash. Only people read it: "
            "remove it"
        )


CHECKS: dict[str, Callable[[Path], object]] = {
    ".npz": _check_arrays,
    ".npy": _check_arrays,
    ".safetensors": partial(read_tensors, checked=True),
    "finished.json": partial(files.read_json, checked=True),
    "inputs.json": _check_inputs,
}
