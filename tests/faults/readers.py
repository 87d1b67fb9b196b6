"""Every reader of the project, each with a whole file to spoil."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from prune_kit import joining
from prune_kit.data.noise import NoisyLabels
from prune_kit.data.spec import load_data
from prune_kit.files import checksum_holds, kind_of
from prune_kit.outcomes import Outcome, Outcomes
from prune_kit.recipe import load_recipe
from prune_kit.removal import Removal
from prune_kit.selection import Selection
from prune_kit.table import ScoreTable
from prune_kit.training.runs import read_tensors
from prune_kit_cli.work import read_probabilities
from tests.cli.score_files import small_table
from tests.data.small_sets import write_idx_folder
from tests.small_tables import removal_of, selection_of


def _described(path: Path) -> object:
    from prune_kit_cli.describing import _describe

    return _describe(path)


def _published(path: Path) -> object:
    return joining.join(small_table(), path, harder="lower", align=False)


READERS: dict[str, Callable[[Path], Any]] = {
    "scores": ScoreTable.read,
    "selection": Selection.read,
    "removal": Removal.read,
    "labels": NoisyLabels.read,
    "outcomes": Outcomes.read,
    "info": _described,
    "kind": kind_of,
    "verify": checksum_holds,
    "probabilities": read_probabilities,
    "recipe": lambda path: load_recipe(str(path)),
    "npz data": lambda path: load_data(f"npz:{path}"),
    "csv labels": lambda path: load_data("digits", labels=path),
    "npy labels": lambda path: load_data("digits", labels=path),
    "published npz": _published,
    "published npy": _published,
    "published csv": _published,
    "safetensors": read_tensors,
    "mnist": lambda path: load_data(f"mnist:{_as_mnist(path)}"),
}


def _as_mnist(path: Path) -> Path:
    """The folder beside `path` with the mutated file in the place of its training images."""
    folder = path.parent / "mnist"
    (folder / "train-images-idx3-ubyte.gz").write_bytes(path.read_bytes())
    return folder


def write_all(folder: Path) -> dict[str, Path]:
    """A whole file for every reader."""
    from safetensors.numpy import save_file

    table = small_table()
    label = np.arange(1797) % 10
    chance = np.random.default_rng(0)
    table.write(folder / "scores.h5")
    selection_of(np.arange(60) % 3, rows=table.rows, score=table.columns["el2n@20"].values).write(
        folder / "selection.h5"
    )
    suspects = np.array([3, 1])
    removal_of(suspects, (table.rows.label[suspects] + 1) % 3, rows=table.rows).write(folder / "removal.h5")
    noisy = table.rows.relabelled((table.rows.label + 1) % 3, table.rows.label)
    NoisyLabels(noisy, np.ones(60, dtype=bool), {"kind": "flip"}).write(folder / "labels.h5")
    rows = tuple(Outcome("full", seed, 60, 0.9, 10, 1.0, 1.0, "{}") for seed in range(3))
    Outcomes(rows, table.rows.fingerprint, "digits").write(folder / "outcomes.h5")
    np.save(folder / "probabilities.npy", chance.random((60, 3)))
    (folder / "recipe.toml").write_bytes((Path(__file__).parents[2] / "recipes" / "digits_demo.toml").read_bytes())
    images = chance.integers(0, 256, (30, 4, 4), dtype=np.uint8)
    np.savez(folder / "data.npz", x_train=images, y_train=np.arange(30) % 3)
    (folder / "labels.csv").write_text("index,label\n" + "".join(f"{row},{value}\n" for row, value in enumerate(label)))
    np.save(folder / "labels.npy", label)
    np.savez(folder / "published.npz", scores=chance.random(60), labels=table.rows.label)
    np.save(folder / "published.npy", chance.random(60))
    (folder / "published.csv").write_text("index,score\n" + "".join(f"{row},0.{row}\n" for row in range(60)))
    save_file({"a": np.eye(4)}, folder / "weights.safetensors")
    write_idx_folder(folder / "mnist")
    (folder / "images.gz").write_bytes((folder / "mnist" / "train-images-idx3-ubyte.gz").read_bytes())
    return {
        "scores": folder / "scores.h5",
        "selection": folder / "selection.h5",
        "removal": folder / "removal.h5",
        "labels": folder / "labels.h5",
        "outcomes": folder / "outcomes.h5",
        "info": folder / "scores.h5",
        "kind": folder / "scores.h5",
        "verify": folder / "scores.h5",
        "probabilities": folder / "probabilities.npy",
        "recipe": folder / "recipe.toml",
        "npz data": folder / "data.npz",
        "csv labels": folder / "labels.csv",
        "npy labels": folder / "labels.npy",
        "published npz": folder / "published.npz",
        "published npy": folder / "published.npy",
        "published csv": folder / "published.csv",
        "safetensors": folder / "weights.safetensors",
        "mnist": folder / "images.gz",
    }
