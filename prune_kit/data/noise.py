"""Planted label noise, and the label file (`labels.h5`) that keeps the true labels.

Every kind of noise changes training rows only. Rows that are held out as test keep their labels.
Probes are noise that is planted in a few rows while scoring. They show `clean` which scores labels
get that are known to be wrong.
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
# With the seed it makes a stream of random numbers that is used for nothing else.
PROBE_STREAM = 50_101
Noise = Callable[[np.ndarray, int, np.random.Generator], np.ndarray]


@dataclass(frozen=True, eq=False)
class NoisyLabels:
    """Labels with planted errors. `rows` hold them as `label`, and the true ones as `true_label`.

    `touched` (N,) says which rows the noise was applied to. Some kinds of noise may leave the true
    label. `parameters` hold the kind, the rate, the matrix and the seed of the noise.
    """

    rows: Rows
    touched: Bool[np.ndarray, "N"]
    parameters: dict[str, Any]

    @property
    def wrong(self) -> Int[np.ndarray, "W"]:
        """The rows whose label is not the true one, ascending."""
        assert self.rows.true_label is not None
        return np.flatnonzero(self.rows.label != self.rows.true_label)

    def over(self, data: Dataset, path: Path) -> Dataset:
        """The data under these labels, which come from the file `path`.

        Raises IdentityError if they were planted in other data.
        """
        assert self.rows.true_label is not None
        planted_in = replace(self.rows, label=self.rows.true_label)
        check_same(data.rows, planted_in, f"the data {data.rows.data}", f"the labels {path}")
        return data.relabelled(self.rows.label, str(path))

    def write(self, path: str | Path) -> None:
        """Write the label file completely or not at all. Raises FileError if that fails."""
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
        """Read a label file.

        Raises FileError if it is missing, damaged, or of another kind or version.
        """
        with hdf5.reading_hdf5(Path(path), "labels", MADE_BY) as file:
            return cls(read_rows(file), file["touched"][()], json.loads(file.attrs["parameters"]))


def uniform(
    label: Int[np.ndarray, "n"], classes: int, rng: np.random.Generator
) -> Int[np.ndarray, "n"]:
    """Labels drawn from all classes, the true one included.

    Source: Zhang et al. 2017, https://arxiv.org/abs/1611.03530, section 2.1.

    Parameters
    ----------
    label
        The labels (n,) that are replaced, in 0 .. `classes` - 1.
    classes
        The number of classes, C.
    rng
        The generator that draws.
    """
    return rng.integers(0, classes, len(label))


def permute(
    label: Int[np.ndarray, "n"], classes: int, rng: np.random.Generator
) -> Int[np.ndarray, "n"]:
    """The labels permuted among the rows, so that every class keeps its size.

    Source: Paul, Ganguli, Dziugaite 2021, https://arxiv.org/abs/2107.07075, appendix B.3.

    Parameters are those of `uniform`. The number of classes is not used.
    """
    return rng.permutation(label)


def flip(
    label: Int[np.ndarray, "n"], classes: int, rng: np.random.Generator
) -> Int[np.ndarray, "n"]:
    """Labels of another class, each of them with the same probability.

    Parameters are those of `uniform`. There must be two classes or more.
    """
    return (label + rng.integers(1, classes, len(label))) % classes


def pair(
    label: Int[np.ndarray, "n"], classes: int, rng: np.random.Generator
) -> Int[np.ndarray, "n"]:
    """Labels of the next class. The class after the last is the first.

    Parameters are those of `uniform`. Nothing is drawn.
    """
    return (label + 1) % classes


KINDS: dict[str, Noise] = {"uniform": uniform, "permute": permute, "flip": flip, "pair": pair}


def transition(
    label: Int[np.ndarray, "n"], matrix: Float[np.ndarray, "C C"], rng: np.random.Generator
) -> Int[np.ndarray, "n"]:
    """Labels drawn with the probabilities in the row of `matrix` that belongs to the label.

    Parameters
    ----------
    label
        The labels (n,) that are replaced, in 0 .. C - 1.
    matrix
        The probability of each class (column) for an example of each class (row), (C, C). Every row
        adds up to 1.
    rng
        The generator that draws.
    """
    bounds = matrix.cumsum(axis=1)[label][:, :-1]
    drawn: np.ndarray = (rng.random(len(label))[:, None] > bounds).sum(axis=1)
    return drawn


def read_matrix(path: Path, classes: int) -> Float[np.ndarray, "C C"]:
    """Read a transition matrix.

    Parameters
    ----------
    path
        A file that ends in .npy, or a text with a row of numbers in each line.
    classes
        The number of classes, C.

    Returns
    -------
    (C, C)
        The probability of each class (column) for an example of each class (row).

    Raises
    ------
    OptionError
        If the file cannot be read, or does not hold such a matrix.
    """
    try:
        if path.suffix == ".npy":
            with path.open("rb") as file:
                values = np.asarray(np.load(file, allow_pickle=False))
        else:
            lines = [
                line.partition("#")[0].replace(",", " ").split()
                for line in path.read_text("utf-8").splitlines()
            ]
            values = np.asarray([line for line in lines if line])
        if values.dtype.kind not in "biufU":
            raise ValueError(f"they are {values.dtype}, and not real")
        matrix = values.astype(float)
    except OSError as error:
        raise OptionError(f"the matrix {path} cannot be read: {error.strerror or error}") from error
    except files.UNREADABLE_ARRAY as error:
        reason = "its rows are not equally long" if "inhomogeneous" in str(error) else error
        raise OptionError(f"the matrix {path} cannot be read as numbers: {reason}") from error
    if matrix.shape != (classes, classes):
        raise OptionError(
            f"the matrix {path} is {matrix.shape}; expected ({classes}, {classes}), a row per class"
        )
    if not (matrix >= 0).all() or not np.allclose(matrix.sum(axis=1), 1, atol=1e-6):
        raise OptionError(
            f"the matrix {path}: every row must hold shares from 0 to 1 that add up to 1"
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
    """Plant label noise in the training rows.

    Parameters
    ----------
    data
        The data set.
    kind
        "uniform", "permute", "flip", "pair", or "matrix".
    rate
        The share of the training rows that the noise is applied to, 0 to 1. The rows are drawn at
        random. Required for every kind but "matrix".
    matrix
        The transition matrix (C, C). Required for "matrix".
    seed
        The seed of the draws, 0 or more.

    Returns
    -------
    NoisyLabels
        The labels with the planted errors, and the true ones.

    Raises
    ------
    OptionError
        If the kind is unknown, an option is out of range, or it does not belong to the kind.
    DataError
        If the labels of the data are planted already.
    """
    if data.true_labels is not None:
        raise DataError(
            f"{data.name} has planted or replaced labels already "
            f"({data.rows.options.get('labels_file')}); noise must be planted in the original "
            "labels"
        )
    check_seeds(seed=seed)
    rng = np.random.default_rng(seed)
    rows = data.rows.training
    label = data.labels.copy()
    touched = np.zeros(len(data), dtype=bool)
    if kind == "matrix":
        if matrix is None or rate is not None:
            raise OptionError("kind='matrix' requires `matrix`, and does not use `rate`")
        label[rows] = transition(label[rows], matrix, rng)
        touched = label != data.labels
    elif kind in KINDS:
        if rate is None or matrix is not None:
            raise OptionError(f"kind={kind!r} requires `rate`, and does not use `matrix`")
        if not 0 <= rate <= 1:
            raise OptionError(f"rate={rate:g} is out of range; it is a share, 0 to 1")
        chosen = np.sort(rng.choice(rows, round(rate * len(rows)), replace=False))
        label[chosen] = KINDS[kind](label[chosen], data.classes, rng)
        touched[chosen] = True
    else:
        raise registry.unknown_name_error("noise", kind, [*KINDS, "matrix"])
    planted = data.rows.relabelled(label, data.labels)
    parameters = {
        "kind": kind,
        "rate": rate,
        "matrix": None if matrix is None else matrix.tolist(),
        "seed": seed,
    }
    return NoisyLabels(planted, touched, parameters)


def check_probes(share: float) -> None:
    """Raise OptionError unless a share of probes is above 0 and below 0.5."""
    if not 0 < share < 0.5:
        raise OptionError(
            f"probes={share:g} is out of range; it is a share of the training rows, above 0 and "
            "below 0.5. Leave it out for a scoring without probes"
        )


def draw_probes(rows: Rows, share: float, seed: int) -> Int[np.ndarray, "N"]:
    """The labels to plant as probes.

    round(share * n) of the n training rows are drawn without replacement. Each gets one of the
    C - 1 other classes, all with the same probability.

    Parameters
    ----------
    rows
        The rows of the data.
    share
        The share of the training rows, above 0 and below 0.5.
    seed
        The seed of the draws.

    Returns
    -------
    (N,)
        The label to plant in each row, NO_PROBE where there is none.

    Raises
    ------
    OptionError
        If the share is out of range, or gives less than one probe.
    """
    check_probes(share)
    training = rows.training
    count = round(share * len(training))
    if not count:
        raise OptionError(
            f"probes={share:g} of {len(training):,} training rows is less than one row; "
            f"the least is probes={min(1 / max(len(training), 1), 0.49):.2g}"
        )
    rng = np.random.default_rng([seed, PROBE_STREAM])
    chosen = np.sort(rng.choice(training, count, replace=False))
    label = np.full(len(rows), NO_PROBE, dtype=np.int64)
    label[chosen] = flip(rows.label[chosen], len(rows.class_names), rng)
    return label


def planted(data: Dataset, probe_label: Int[np.ndarray, "N"]) -> Dataset:
    """The data under the planted labels, on which networks are trained while probing.

    Parameters
    ----------
    data
        The data set.
    probe_label
        The labels to plant (`draw_probes`).

    Returns
    -------
    Dataset
        The data. Its test set does not change.
    """
    label = np.where(probe_label == NO_PROBE, data.labels, probe_label)
    return replace(data, rows=data.rows.relabelled(label, data.true_labels))
