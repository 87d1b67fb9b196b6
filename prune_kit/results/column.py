"""Score columns: one score of every row, with what made it, and how a file holds it."""

import json
from dataclasses import dataclass, field
from typing import Any

import h5py
import numpy as np

from prune_kit.data.identity import Rows
from prune_kit.errors import FileError
from prune_kit.protocol.setup import Setup
from prune_kit.results.column_summary import ColumnSummary, read_summary, summary_of, write_summary
from prune_kit.storage import hdf5
from prune_kit.storage.provenance import now

EXTRAS = ("per_run", "per_ratio", "per_ratio_votes", "votes", "never_learned", "probability")
TEST = ("scores", "per_run")
MANY_CLASSES = 100  # with more, a file keeps only the largest probabilities
# the group with the classes of the probabilities that a file keeps of many
TOP_CLASSES = "probability_class"
TRAININGS = (
    "config",
    "seed",
    "observe",
    "precision",
    "threads",
    "device",
    "probes",
    "epoch",
)  # parameters that methods share
FOUND = (  # parameters that nobody chose: a method reports them
    "fold_precision",
    "fold_threads",
    "test_accuracy_by_ratio",
    "gradient_precision",
    "threshold_steps",
    "threshold_accuracies",
)


@dataclass(frozen=True, eq=False, repr=False)
class ScoreColumn:
    """One score of every row, with its direction and everything that made it.

    Parameters
    ----------
    name
        The name in the table, such as el2n@20.
    values
        The scores (N,) float32. NaN for an example without a score, such as one held out as test.
    method
        The name of the method.
    harder
        "higher" or "lower": which values are harder.
    parameters
        Everything that made the score.
    seeds
        The seeds of the runs that the score averages.
    seconds
        The time that scoring took.
    created
        The time at which the score was made, ISO 8601.
    companion
        Whether it was scored along with another column. A companion is never chosen by default.
    extras
        More arrays: `per_run` (R, N), `per_ratio` and `per_ratio_votes` (S, N), `votes` and
        `never_learned` (N,), `probability` (N, C). A file keeps 5 probabilities of each row if
        there are more than MANY_CLASSES classes.
    test
        The same score of the test examples, if the method gives one: `scores` (M,), `per_run`
        (R, M).
    summary
        The summary in the file, if the table was read with `glance`.
    """

    name: str
    values: np.ndarray
    method: str
    harder: str
    parameters: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    seconds: float = 0.0
    created: str = field(default_factory=lambda: now())
    companion: bool = False
    extras: dict[str, np.ndarray] = field(default_factory=dict)
    test: dict[str, np.ndarray] = field(default_factory=dict)
    summary: ColumnSummary | None = None

    def __repr__(self) -> str:
        return f"ScoreColumn({self.name}, {len(self.values):,} rows, {self.runs} runs)"

    @property
    def runs(self) -> int:
        """The number of runs that the score averages."""
        return len(self.seeds)

    @property
    def setup(self) -> Setup | None:
        """How the networks behind it were made; None where it comes from no network."""
        return Setup.of(self.parameters)

    @property
    def options(self) -> dict[str, Any]:
        """The options of its method, such as ratios and folds of cscore."""
        return {
            name: value
            for name, value in self.parameters.items()
            if name not in (*TRAININGS, *FOUND)
        }


def write_column(file: h5py.File, scores: h5py.Group, column: ScoreColumn, rows: Rows) -> None:
    """Store a column in an open file.

    Parameters
    ----------
    file
        The open file. Extra arrays and the scores of test examples go to groups of it.
    scores
        The group that takes the values.
    column
        The column (N,).
    rows
        The N rows. The summary in the file is that of the training rows.
    """
    dataset = scores.create_dataset(column.name, data=column.values.astype(np.float32))
    dataset.attrs["method"] = column.method
    dataset.attrs["harder"] = column.harder
    dataset.attrs["parameters"] = json.dumps(column.parameters)
    dataset.attrs["seeds"] = np.asarray(column.seeds, dtype=np.int64)
    dataset.attrs["runs"] = column.runs
    dataset.attrs["seconds"] = column.seconds
    dataset.attrs["created"] = column.created
    write_summary(dataset, summary_of(column.values.astype(np.float32), column.harder, rows))
    if column.companion:
        dataset.attrs["companion"] = True
    for kind, values in column.extras.items():
        assert kind in EXTRAS
        if kind == "probability" and values.shape[1] > MANY_CLASSES:
            from prune_kit.results import top_probabilities

            values, classes = top_probabilities.packed(values, rows.label)
            file[f"{TOP_CLASSES}/{column.name}"] = classes
        kept = file.create_dataset(f"{kind}/{column.name}", data=values)
        if kind.startswith("per_ratio"):
            kept.attrs["ratios"] = column.parameters["ratios"]
    for kind, values in column.test.items():
        assert kind in TEST
        file.create_dataset(f"test/{kind}/{column.name}", data=values)


def read_column(
    file: h5py.File, name: str, extras: bool | tuple[str, ...], glance: bool
) -> ScoreColumn:
    """Read a column from an open file.

    Parameters
    ----------
    file
        The open file.
    name
        The name of the column.
    extras
        The extra arrays to read: False for none, or the names of some. True stands for all of them,
        and for the scores of the test examples.
    glance
        Whether the values stay in the file until they are looked at. Then the summary is read, too.

    Raises
    ------
    FileError
        The probabilities or the summary of the column are damaged.
    """
    kinds = extras if isinstance(extras, tuple) else EXTRAS if extras else ()
    dataset = file["scores"][name]
    attributes = dataset.attrs
    return ScoreColumn(
        name=name,
        values=hdf5.mapped(dataset) if glance else hdf5.whole(dataset),
        method=str(attributes["method"]),
        harder=str(attributes["harder"]),
        parameters=json.loads(attributes["parameters"]),
        seeds=tuple(int(seed) for seed in attributes["seeds"]),
        seconds=float(attributes["seconds"]),
        created=str(attributes["created"]),
        companion=bool(attributes.get("companion", False)),
        extras=_kept(file, kinds, name) | _unpacked(file, kinds, name),
        test=_kept(file["test"], TEST, name) if extras is True and "test" in file else {},
        summary=read_summary(dataset) if glance else None,
    )


def _unpacked(file: h5py.File, kinds: tuple[str, ...], name: str) -> dict[str, np.ndarray]:
    """The probabilities of all classes of a column, if the file keeps only the largest ones.

    Raises FileError for classes that the data do not have.
    """
    if "probability" not in kinds or TOP_CLASSES not in file or name not in file[TOP_CLASSES]:
        return {}
    from prune_kit.results import top_probabilities

    values = file["probability"][name][()]
    classes = file[TOP_CLASSES][name][()]
    count = len(json.loads(file.attrs["class_names"]))
    in_range = values.shape == classes.shape and values.ndim == 2 and values.shape[1] < count
    if not in_range or not ((classes >= 0) & (classes < count)).all():
        raise FileError(
            f"{file.filename} is damaged: {TOP_CLASSES}/{name} are not classes of its {count:,}"
        )
    return {"probability": top_probabilities.dense(values, classes, count)}


def _kept(group: h5py.Group, kinds: tuple[str, ...], name: str) -> dict[str, np.ndarray]:
    return {kind: group[kind][name][()] for kind in kinds if kind in group and name in group[kind]}
