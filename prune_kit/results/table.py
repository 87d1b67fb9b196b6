"""Score tables: columns of scores over the rows of a data set, and their file (`scores.h5`)."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from prune_kit import registry
from prune_kit.data.identity import NO_PROBE, TRAIN, Rows, read_rows, write_rows
from prune_kit.errors import FileError, TableError
from prune_kit.protocol.setup import Setup
from prune_kit.results.column_summary import ColumnSummary, read_summary, summary_of, write_summary
from prune_kit.storage import hdf5
from prune_kit.storage.provenance import now, version

EXTRAS = ("per_run", "per_ratio", "per_ratio_votes", "votes", "never_learned", "probability")
TEST = ("scores", "per_run")
MANY_CLASSES = 100  # with more, a file keeps only the largest probabilities
# the group with the classes of the probabilities that a file keeps of many
TOP_CLASSES = "probability_class"
MADE_BY = "prune-kit score"
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


@dataclass(frozen=True, eq=False, repr=False)
class ScoreTable:
    """Columns of scores over the rows of one data set.

    Selectors read `hardness`, never a raw column, because columns differ in direction.

    Parameters
    ----------
    rows
        The N rows of the data set.
    columns
        The columns by name.
    created
        The time at which the table was begun, ISO 8601.
    test_rows
        The M test examples, if a column scores those.
    probe_label
        The wrong labels that were planted while scoring, (N,) int64; NO_PROBE for a row that was
        trained on with its own label. None if no label was planted.
    """

    rows: Rows
    columns: dict[str, ScoreColumn]
    created: str = field(default_factory=lambda: now())
    test_rows: Rows | None = None
    probe_label: np.ndarray | None = None

    def __repr__(self) -> str:
        return f"ScoreTable({', '.join(self.columns)}; {self.rows!r})"

    @property
    def probes(self) -> np.ndarray:
        """The rows whose labels were planted wrong while scoring, ascending; maybe none."""
        return np.flatnonzero([] if self.probe_label is None else self.probe_label != NO_PROBE)

    def column(self, by: str | None = None) -> ScoreColumn:
        """The column with a name; by default the only column that is not a companion.

        Raises
        ------
        TableError
            No column has this name, or the table has several and no name was given.
        """
        if by is not None:
            if by not in self.columns:
                raise registry.unknown_name_error("column", by, self.columns, TableError)
            return self.columns[by]
        own = [column for column in self.columns.values() if not column.companion]
        if len(own) != 1:
            raise TableError(f"which column? Say --by NAME, one of: {', '.join(self.columns)}")
        return own[0]

    def hardness(self, by: str | None = None) -> np.ndarray:
        """The values (N,) of a column, or their negatives, so that higher means harder."""
        column = self.column(by)
        return column.values if column.harder == "higher" else -column.values

    def summary(self, by: str | None = None) -> ColumnSummary:
        """The range of a column over the training rows, and its hardest examples."""
        column = self.column(by)
        return column.summary or summary_of(column.values, column.harder, self.rows)

    @property
    def trained_with(self) -> dict[str, Any]:
        """The parameters of the first column that comes from networks; empty where none does."""
        return next((c.parameters for c in self.columns.values() if c.setup is not None), {})

    @property
    def setup(self) -> Setup | None:
        """How the networks behind the table were made; None where no column comes from networks.

        All columns of a table come from networks that were made alike.
        """
        return Setup.of(self.trained_with)

    @property
    def runs(self) -> int:
        """How many runs stand behind the widest column."""
        return max((column.runs for column in self.columns.values()), default=0)

    def with_columns(self, columns: Iterable[ScoreColumn]) -> "ScoreTable":
        """The same table with columns added. A column replaces one of the same name."""
        return replace(self, columns=self.columns | {column.name: column for column in columns})

    def write(self, path: str | Path) -> None:
        """Write the table, as a whole or not at all. Raises FileError."""
        attributes = {
            "created": self.created,
            "prune_kit_version": version(),
        }
        with hdf5.writing_hdf5(Path(path), "scores", attributes) as file:
            write_rows(file, self.rows)
            if self.probe_label is not None:
                file["probe_label"] = self.probe_label.astype(np.int64)
            # columns keep the order in which they were scored
            scores = file.create_group("scores", track_order=True)
            for column in self.columns.values():
                _write_column(file, scores, column, self.rows)
            if self.test_rows is not None:
                write_rows(file.require_group("test"), self.test_rows)

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        only: Iterable[str] | None = None,
        extras: bool | tuple[str, ...] = True,
        glance: bool = False,
    ) -> "ScoreTable":
        """Read a table.

        Parameters
        ----------
        path
            The file to read.
        only
            The columns to read; None for all. Names that the table lacks are left out.
        extras
            Which extras of the columns to read, such as ("per_run",); all or none by default.
        glance
            Whether to read scores, ids, digests and labels only when they are looked at. Then they
            are not compared with the fingerprint, and the summaries are those in the file.

        Raises
        ------
        FileError
            The file is missing or damaged, or it is of another kind or version.
        """
        with hdf5.reading_hdf5(Path(path), "scores", MADE_BY) as file:
            names = (
                list(file["scores"])
                if only is None
                else [name for name in only if name in file["scores"]]
            )
            rows = read_rows(file, glance=glance)
            table = cls(
                rows=rows,
                columns={name: _read_column(file, name, extras, glance) for name in names},
                created=str(file.attrs["created"]),
                test_rows=read_rows(file["test"])
                if "test" in file and "id" in file["test"]
                else None,
                probe_label=_read_probe_label(file, rows) if "probe_label" in file else None,
            )
        for name, column in table.columns.items():
            if column.values.shape != (len(table.rows),):
                raise FileError(
                    f"{path} is damaged: {name} is {column.values.shape} for {len(table.rows):,} "
                    "rows"
                )
        return table


def _write_column(file: h5py.File, scores: h5py.Group, column: ScoreColumn, rows: Rows) -> None:
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


def _read_probe_label(file: h5py.File, rows: Rows) -> np.ndarray:
    """The planted labels (N,).

    Raises FileError unless each is the number of another class and belongs to a training row.
    """
    label = np.asarray(file["probe_label"][()])
    if label.shape != (len(rows),) or label.dtype != np.int64:
        raise FileError(
            f"{file.filename} is damaged: probe_label is {label.dtype} {label.shape} for "
            f"{len(rows):,} rows"
        )
    in_range = (label >= 0) & (label < len(rows.class_names))
    wrong = (label != NO_PROBE) & ~(in_range & (label != rows.label) & (rows.role == TRAIN))
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise FileError(
            f"{file.filename} is damaged: in row {row}, of label {rows.label[row]}, probe_label "
            f"{label[row]} is not another class of a training row"
        )
    return label


def _read_column(
    file: h5py.File, name: str, extras: bool | tuple[str, ...], glance: bool
) -> ScoreColumn:
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
