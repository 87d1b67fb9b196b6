"""Planted label noise: the kinds of it, and the label file (`labels.h5`) that remembers the truth.

Every kind changes training rows only; rows that play the test set keep their labels. Probes are
noise that is planted while scoring, in a few rows, so that `clean` can see where labels fall that
are known to be wrong.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from prune_kit import registry
from prune_kit.checks import check_seeds
from prune_kit.data.dataset import Dataset
from prune_kit.data.identity import NO_PROBE as NO_PROBE
from prune_kit.data.identity import Rows, check_same, read_rows, write_rows
from prune_kit.errors import DataError, OptionError
from prune_kit.storage import files, hdf5
from prune_kit.storage.provenance import now, version

MADE_BY = "prune-kit corrupt"
PROBE_CHANCE = (
    50_101  # with the seed, a stream of its own: the held-out fifth and `random` draw from others
)
Noise = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


@dataclass(frozen=True, eq=False)
class NoisyLabels:
    """Labels with planted errors. `rows` carry them as `label` and the right ones as `true_label`.

    `touched` (N,) says which rows the noise was applied to; some kinds leave a touched label right.
    `parameters` say what was planted: kind, rate, seed.
    """

    rows: Rows
    touched: Bool[np.ndarray, "N"]
    parameters: dict[str, Any]

    @property
    def wrong(self) -> Int[np.ndarray, "W"]:
        """The rows whose label is not the right one, ascending."""
        assert self.rows.true_label is not None
        return np.flatnonzero(self.rows.label != self.rows.true_label)

    def over(self, data: Dataset, path: Path) -> Dataset:
        """The data under these labels. Raises IdentityError when they were planted in other data."""
        assert self.rows.true_label is not None
        planted_in = replace(self.rows, label=self.rows.true_label)
        check_same(data.rows, planted_in, f"the data {data.rows.data}", f"the labels {path}")
        return data.relabelled(self.rows.label, str(path))

    def write(self, path: str | Path) -> None:
        """Write the label file, whole or not at all. Raises FileError."""
        attributes = {
            "parameters": json.dumps(self.parameters),
            "created": now(),
            "prune_kit_version": version(),
        }
        with hdf5.writing_hdf5(Path(path), "labels", attributes) as file:
            write_rows(file, self.rows)
            file["touched"] = self.touched

    @classmethod
    def read(cls, path: str | Path) -> "NoisyLabels":
        """Read a label file. Raises FileError when it is absent, damaged, of another kind or version."""
        with hdf5.reading_hdf5(Path(path), "labels", MADE_BY) as file:
            return cls(read_rows(file), file["touched"][()], json.loads(file.attrs["parameters"]))


def uniform(
    label: Int[np.ndarray, "n"], classes: int, chance: np.random.Generator
) -> Int[np.ndarray, "n"]:
    """A label drawn from all classes, the right one among them. Source: Zhang et al. 2017, section 2.1."""
    return chance.integers(0, classes, len(label))


def permute(
    label: Int[np.ndarray, "n"], classes: int, chance: np.random.Generator
) -> Int[np.ndarray, "n"]:
    """The labels permuted among the rows, so that every class keeps its total. Source: Data Diet, appendix B.3."""
    return chance.permutation(label)


def flip(
    label: Int[np.ndarray, "n"], classes: int, chance: np.random.Generator
) -> Int[np.ndarray, "n"]:
    """Another class for certain, any of them with the same chance."""
    return (label + chance.integers(1, classes, len(label))) % classes


def pair(
    label: Int[np.ndarray, "n"], classes: int, chance: np.random.Generator
) -> Int[np.ndarray, "n"]:
    """The next class, and the first after the last."""
    return (label + 1) % classes


KINDS: dict[str, Noise] = {"uniform": uniform, "permute": permute, "flip": flip, "pair": pair}


def transition(
    label: Int[np.ndarray, "n"], matrix: Float[np.ndarray, "C C"], chance: np.random.Generator
) -> Int[np.ndarray, "n"]:
    """A label drawn for each row with the chances in its class's row of `matrix`."""
    drawn: np.ndarray = (
        chance.random(len(label))[:, None] > matrix.cumsum(axis=1)[label][:, :-1]
    ).sum(axis=1)
    return drawn


def read_matrix(path: Path, classes: int) -> Float[np.ndarray, "C C"]:
    """A transition matrix from `.npy`, or from text with numbers in rows. Raises OptionError when it is none."""
    try:
        if path.suffix == ".npy":
            with path.open("rb") as file:
                found = np.asarray(np.load(file, allow_pickle=False))
        else:
            lines = [
                line.partition("#")[0].replace(",", " ").split()
                for line in path.read_text("utf-8").splitlines()
            ]
            found = np.asarray([line for line in lines if line])
        if found.dtype.kind not in "biufU":
            raise ValueError(f"they are {found.dtype}, and not real")
        matrix = found.astype(float)
    except OSError as error:
        raise OptionError(f"--matrix {path} cannot be read: {error.strerror or error}") from error
    except files.UNREADABLE_ARRAY as error:
        reason = "its rows are not equally long" if "inhomogeneous" in str(error) else error
        raise OptionError(f"--matrix {path} cannot be read as numbers: {reason}") from error
    if matrix.shape != (classes, classes):
        raise OptionError(
            f"--matrix {path} is {matrix.shape}; expected ({classes}, {classes}), a row per class"
        )
    if not (matrix >= 0).all() or not np.allclose(matrix.sum(axis=1), 1, atol=1e-6):
        raise OptionError(
            f"--matrix {path}: every row must hold shares from 0 to 1 that add up to 1"
        )
    return matrix


def plant(
    data: Dataset,
    kind: str,
    *,
    rate: float | None = None,
    matrix: np.ndarray | None = None,
    seed: int = 0,
) -> NoisyLabels:
    """Plant label noise of a kind in `rate` of the training rows, drawn at random; or by a transition `matrix`.

    Raises OptionError for an unknown kind or a rate out of range, DataError when the labels are
    planted already.
    """
    if data.true_labels is not None:
        raise DataError(
            f"{data.name} has planted or replaced labels already "
            f"({data.rows.options.get('labels_file')}); noise is planted in the original labels "
            "only"
        )
    check_seeds(seed=seed)
    chance = np.random.default_rng(seed)
    rows, label = data.rows.training, data.labels.copy()
    touched = np.zeros(len(data), dtype=bool)
    if kind == "matrix":
        if matrix is None or rate is not None:
            raise OptionError("--kind matrix takes --matrix FILE, and no --rate")
        label[rows] = transition(label[rows], matrix, chance)
        touched = label != data.labels
    elif kind in KINDS:
        if rate is None or matrix is not None:
            raise OptionError(f"--kind {kind} takes --rate F, and no --matrix")
        if not 0 <= rate <= 1:
            raise OptionError(f"--rate {rate:g} is out of range; it is a share, 0 to 1")
        chosen = np.sort(chance.choice(rows, round(rate * len(rows)), replace=False))
        label[chosen] = KINDS[kind](label[chosen], data.classes, chance)
        touched[chosen] = True
    else:
        raise registry.unknown_name_error("noise", kind, [*KINDS, "matrix"])
    planted = data.rows.relabelled(label, data.labels)
    described = {
        "kind": kind,
        "rate": rate,
        "matrix": None if matrix is None else matrix.tolist(),
        "seed": seed,
    }
    return NoisyLabels(planted, touched, described)


def draw_probes(rows: Rows, share: float, seed: int) -> Int[np.ndarray, "N"]:
    """The label to plant in every row: another class in `share` of the training rows, NO_PROBE in all others.

    round(share * n) of the n training rows, drawn without replacement; each of the C - 1 other
    classes with the same chance. Raises OptionError when the share is not above 0 and below 0.5, or
    makes no probe.
    """
    training = rows.training
    if not 0 < share < 0.5:
        raise OptionError(
            f"--probes {share:g} is out of range; it is a share of the training rows, above 0 and "
            "below 0.5. Leave it out to plant none"
        )
    count = round(share * len(training))
    if not count:
        raise OptionError(
            f"--probes {share:g} of {len(training):,} training rows makes none; "
            f"the least is --probes {min(1 / max(len(training), 1), 0.49):.2g}"
        )
    chance = np.random.default_rng([seed, PROBE_CHANCE])
    chosen = np.sort(chance.choice(training, count, replace=False))
    label = np.full(len(rows), NO_PROBE, dtype=np.int64)
    label[chosen] = flip(rows.label[chosen], len(rows.class_names), chance)
    return label


def planted(data: Dataset, probe_label: Int[np.ndarray, "N"]) -> Dataset:
    """The data under the planted labels, its test set unchanged: what networks are trained on while probing."""
    label = np.where(probe_label == NO_PROBE, data.labels, probe_label)
    return replace(data, rows=data.rows.relabelled(label, data.true_labels))
