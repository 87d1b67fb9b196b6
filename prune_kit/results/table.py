"""Score tables: columns of scores over the rows of a data set, and their file (`scores.h5`)."""

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
from prune_kit.results.column import ScoreColumn, read_column, write_column
from prune_kit.results.column_summary import ColumnSummary, summary_of
from prune_kit.storage import hdf5
from prune_kit.storage.provenance import now, version

MADE_BY = "prune-kit score"


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

        Parameters
        ----------
        by
            The name of the column; None for the only one that is not a companion.

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
            raise TableError(f"which column? Say `by`, one of: {', '.join(self.columns)}")
        return own[0]

    def hardness(self, by: str | None = None) -> np.ndarray:
        """The values (N,) of a column, or their negatives, so that higher means harder.

        Parameters
        ----------
        by
            The name of the column; None as for `column`.
        """
        column = self.column(by)
        return column.values if column.harder == "higher" else -column.values

    def summary(self, by: str | None = None) -> ColumnSummary:
        """The range of a column over the training rows, and its hardest examples.

        Parameters
        ----------
        by
            The name of the column; None as for `column`.
        """
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
        """The same table with columns added. A column replaces one of the same name.

        Parameters
        ----------
        columns
            The columns to add, over the rows of this table.
        """
        return replace(self, columns=self.columns | {column.name: column for column in columns})

    def write(self, path: str | Path) -> None:
        """Write the table, as a whole or not at all.

        Parameters
        ----------
        path
            The file to replace.

        Raises
        ------
        FileError
            The file cannot be written.
        """
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
                write_column(file, scores, column, self.rows)
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
                columns={name: read_column(file, name, extras, glance) for name in names},
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
