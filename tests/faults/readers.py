"""Every reader of the project, each with a whole file to spoil."""

import shutil
import tarfile
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from prune_kit.cleaning.probability_files import read_probabilities
from prune_kit.comparison import sources
from prune_kit.data.noise import NoisyLabels, read_matrix
from prune_kit.data.spec import load_data
from prune_kit.experiments.recipe import load_recipe
from prune_kit.protocol.config import TrainConfig
from prune_kit.results.outcomes import Outcome, Outcomes
from prune_kit.results.removal import Removal
from prune_kit.results.selection import Selection
from prune_kit.results.table import ScoreTable
from prune_kit.retraining.grid import Cell, Sweep
from prune_kit.retraining.tuning import with_cells
from prune_kit.runs.cache import RecordedRun, RunInputs
from prune_kit.runs.holdout import Holdout
from prune_kit.runs.tensor_files import read_tensors
from prune_kit.storage import files
from prune_kit.storage.files import checksum_holds
from prune_kit.storage.hdf5 import kind_of
from tests.cli.score_files import small_table
from tests.conftest import ONE_THREAD, shapes_data
from tests.data.small_sets import python2_pickle, write_idx_folder, write_tree
from tests.small_tables import removal_of, rows_of, selection_of

MLP = TrainConfig(model="mlp", epochs=2)
CIFAR = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch", "batches.meta"]


class Reader(NamedTuple):
    """A file that `write_all` writes, and what reads it."""

    file: str
    read: Callable[[Path], Any]


def _described(path: Path) -> object:
    from prune_kit_cli.commands.info import _describe

    return _describe(path)


def _published(path: Path) -> object:
    return sources.align_sources(small_table(), path, harder="lower", by_content=False)


def _data(path: Path, kind: str, member: str) -> object:
    """The data set in the folder of its kind beside `path`, which takes the place of a file in
    it."""
    folder = path.parent / kind
    (folder / member).write_bytes(path.read_bytes())
    return load_data(f"{kind}:{folder}")


def _probabilities(path: Path) -> object:
    return read_probabilities(path, rows_of(np.arange(60) % 3))


@cache
def _run(folder: Path) -> RecordedRun:
    return RecordedRun(RunInputs(shapes_data(), MLP, 0, ONE_THREAD), folder)


def _recorded(path: Path, name: str, ask: Callable[[RecordedRun], object]) -> object:
    folder = path.parent / "run"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(path.read_bytes())
    return ask(_run(folder))


@cache
def _holdout(folder: Path) -> Holdout:
    return Holdout(shapes_data(), MLP, ONE_THREAD, 0, "balanced", (70,), 3, folder)


def _folds(path: Path) -> object:
    holdout = _holdout(path.parent)
    kept = holdout.path(70, range(3))
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(path.read_bytes())
    return holdout.votes(), holdout.probability(), holdout.test_accuracy(), holdout.seconds


READERS = {
    "scores": Reader("scores.h5", ScoreTable.read),
    "selection": Reader("selection.h5", Selection.read),
    "removal": Reader("removal.h5", Removal.read),
    "labels": Reader("labels.h5", NoisyLabels.read),
    "outcomes": Reader("outcomes.h5", Outcomes.read),
    "sweep": Reader("sweep.h5", lambda path: Sweep.of(Outcomes.read(path))),
    "info": Reader("scores.h5", _described),
    "info of a sweep": Reader("sweep.h5", _described),
    "info of a search": Reader("tune.h5", _described),
    "kind": Reader("scores.h5", kind_of),
    "verify": Reader("scores.h5", checksum_holds),
    "probabilities": Reader("probabilities.npy", _probabilities),
    "npz probabilities": Reader("probabilities.npz", _probabilities),
    "csv probabilities": Reader("probabilities.csv", _probabilities),
    "recipe": Reader("recipe.toml", lambda path: load_recipe(str(path))),
    "npz data": Reader("data.npz", lambda path: load_data(f"npz:{path}")),
    "csv labels": Reader("labels.csv", lambda path: load_data("digits", labels=path)),
    "npy labels": Reader("labels.npy", lambda path: load_data("digits", labels=path)),
    "npy matrix": Reader("matrix.npy", lambda path: read_matrix(path, 3)),
    "csv matrix": Reader("matrix.csv", lambda path: read_matrix(path, 3)),
    "published npz": Reader("published.npz", _published),
    "published npy": Reader("published.npy", _published),
    "published csv": Reader("published.csv", _published),
    "mnist": Reader("images.gz", lambda path: _data(path, "mnist", "train-images-idx3-ubyte.gz")),
    "cifar batch": Reader("batch.bin", lambda path: _data(path, "cifar10", "data_batch_1")),
    "cifar archive": Reader("cifar.tar.gz", lambda path: load_data(f"cifar10:{path}")),
    "image": Reader("image.png", lambda path: _data(path, "folder", "cat/0001.png")),
    "weights": Reader("weights.safetensors", read_tensors),
    "signals": Reader("signals.npz", lambda path: files.read_array(path, "correct")),
    "mean probabilities": Reader(
        "averaged.npy",
        lambda path: _recorded(path, "probability-0002.npy", lambda run: run.probability(2)),
    ),
    "outcome of a run": Reader(
        "finished.json", lambda path: _recorded(path, "finished.json", lambda run: run.outcome())
    ),
    "folds": Reader("folds.npz", _folds),
}


def write_all(folder: Path) -> dict[str, Path]:
    """A whole file for every reader."""
    _write_ours(folder)
    _write_theirs(folder)
    _write_data(folder)
    return {name: folder / reader.file for name, reader in READERS.items()}


def _write_ours(folder: Path) -> None:
    """What commands leave in a workdir."""
    from safetensors.numpy import save_file

    table, chance = small_table(), np.random.default_rng(0)
    table.write(folder / "scores.h5")
    selection_of(np.arange(60) % 3, rows=table.rows, score=table.columns["el2n@20"].values).write(
        folder / "selection.h5"
    )
    suspects = np.array([3, 1])
    removal_of(suspects, (table.rows.label[suspects] + 1) % 3, rows=table.rows).write(
        folder / "removal.h5"
    )
    noisy = table.rows.relabelled((table.rows.label + 1) % 3, table.rows.label)
    NoisyLabels(noisy, np.ones(60, dtype=bool), {"kind": "flip"}).write(folder / "labels.h5")
    cells = [
        Cell(f"window el2n@20 keep 0.5 offset {offset:g}", "window", "el2n@20", 0.5, offset)
        for offset in (0.0, 0.1)
    ]
    rows = tuple(
        Outcome(name, seed, kept, 0.9, 10, 1.0, 1.0, "{}")
        for seed in range(3)
        for name, kept in [("full", 60), *((cell.name, 30) for cell in cells)]
    )
    outcomes = Outcomes(rows, table.rows.fingerprint, "digits")
    outcomes.write(folder / "outcomes.h5")
    Sweep.joined(outcomes, cells).outcomes.write(folder / "sweep.h5")
    _search(outcomes, cells).write(folder / "tune.h5")
    save_file({"a": np.eye(4)}, folder / "weights.safetensors")
    files.write_arrays(folder / "signals.npz", {"correct": np.ones(60, dtype=bool)})
    np.save(folder / "averaged.npy", chance.random((60, 3)))
    finished = {"epoch": 2, "steps": 20, "seconds": 1.5, "test_accuracy": 0.5}
    files.write_json(folder / "finished.json", finished, checked=True)
    bits = np.packbits(np.ones((3, len(shapes_data())), dtype=bool), axis=1)
    answers = {
        "held_out": bits,
        "right": bits,
        "test_accuracy": np.full(3, 0.9),
        "seconds": np.array(1.0),
    }
    answers["probability"] = np.ones((3, len(shapes_data()), 3), dtype=np.float16)
    files.write_arrays(folder / "folds.npz", answers)


def _search(outcomes: Outcomes, cells: list[Cell]) -> Outcomes:
    """A search of two stages that found the last of the cells."""
    grid = {"rule": ["window"], "by": ["el2n@20"], "keep": [0.5], "offset": [0.0, 0.1]}
    rows, kept = [], {}
    for epochs in (3, 10):
        ending = f", {epochs} epochs"
        rows += [
            replace(row, selection=row.selection + ending, epochs=float(epochs))
            for row in outcomes.rows
        ]
        kept |= {
            cell.name + ending: with_cells(outcomes, [cell], epochs).cells[cell.name]
            for cell in cells
        }
    kept[cells[-1].name + ending] |= {"found": True, "goal": "accuracy", "met": True, "grid": grid}
    return replace(outcomes, rows=tuple(rows), cells=kept)


def _write_theirs(folder: Path) -> None:
    """What people and other programs write: scores, probabilities, matrices, recipes, labels."""
    chance, label = np.random.default_rng(1), np.arange(1797) % 10
    np.save(folder / "probabilities.npy", chance.random((60, 3)))
    np.savez(folder / "probabilities.npz", pred_probs=chance.random((60, 3)))
    header = "index,class 0,class 1,class 2"
    table = np.column_stack([np.arange(60), chance.random((60, 3))])
    np.savetxt(folder / "probabilities.csv", table, "%g", ",", header=header, comments="")
    np.save(folder / "matrix.npy", np.full((3, 3), 1 / 3))
    (folder / "matrix.csv").write_text("0.5,0.25,0.25\n0,1,0\n0,0,1\n")
    (folder / "recipe.toml").write_bytes(
        (Path(__file__).parents[2] / "recipes" / "digits_demo.toml").read_bytes()
    )
    (folder / "labels.csv").write_text(
        "index,label\n" + "".join(f"{row},{value}\n" for row, value in enumerate(label))
    )
    np.save(folder / "labels.npy", label)
    np.savez(folder / "published.npz", scores=chance.random(60), labels=small_table().rows.label)
    np.save(folder / "published.npy", chance.random(60))
    (folder / "published.csv").write_text(
        "index,score\n" + "".join(f"{row},0.{row}\n" for row in range(60))
    )


def _write_data(folder: Path) -> None:
    """Data sets in the forms in which they are published, and of each the file that is to be
    spoiled."""
    chance = np.random.default_rng(2)
    images = chance.integers(0, 256, (30, 4, 4), dtype=np.uint8)
    np.savez(folder / "data.npz", x_train=images, y_train=np.arange(30) % 3)
    write_idx_folder(folder / "mnist")
    shutil.copy(folder / "mnist" / "train-images-idx3-ubyte.gz", folder / "images.gz")
    write_tree(folder / "folder")
    shutil.copy(folder / "folder" / "cat" / "0001.png", folder / "image.png")
    pixels = chance.integers(0, 256, (10, 3072), dtype=np.uint8)
    batch = python2_pickle({b"data": pixels, b"labels": [*range(10)]})
    names = python2_pickle({b"label_names": [f"class {number}".encode() for number in range(10)]})
    (folder / "cifar10").mkdir()
    for name in CIFAR:
        (folder / "cifar10" / name).write_bytes(names if name == "batches.meta" else batch)
    (folder / "batch.bin").write_bytes(batch)
    with tarfile.open(folder / "cifar.tar.gz", "w:gz") as archive:
        archive.add(folder / "cifar10", "cifar-10-batches-py")
