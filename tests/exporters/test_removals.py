"""A removal written out as lists of rows and as labels, and read by the programs that they are
for."""

import csv
import json
import shutil

import numpy as np
import pytest
import torch
from pyarrow import parquet
from torch.utils.data import DataLoader, Subset, TensorDataset

from prune_kit import pipeline, registry
from prune_kit.data.dataset import from_arrays
from prune_kit.data.labels import read_labels, write_labels
from prune_kit.data.spec import load_data
from prune_kit.errors import DataError, FileError, OptionError
from prune_kit.exporters import COLUMNS
from prune_kit.results.removal import Removal
from tests.exporters.test_exporters import FORMATS, IDS, indices
from tests.small_tables import KEPT, removal_of, rows_of, selection_of

NAMES = ("a, cat", 'dog "ß"')
LABEL = [0, 1, 1, 1, 1, 0]
LIST, SUGGESTED, CLEAR = (
    [4, 0, 2],
    [0, 1, 0],
    [True, True, False],
)  # row 3 is held out, rows 1 and 5 stay
WANTED = ("score", "suspicion")
ROWS = {"keep": [1, 5], "drop": [0, 2, 4]}
RELABELLED = [1, 1, 1, 1, 0, 0]
every_format = pytest.mark.parametrize("format", FORMATS)


@pytest.fixture
def removal():
    rows = rows_of(LABEL, ids=IDS, role=[0, 0, 0, 1, 0, 0], class_names=NAMES)
    return removal_of(LIST, SUGGESTED, clear=CLEAR, rows=rows)


# lists of rows


@every_format
@pytest.mark.parametrize("what", ROWS)
def test_the_cleaned_rows_and_the_removed_ones_are_written_ascending(
    removal, tmp_path, format, what
):
    pipeline.export(removal, tmp_path / "rows", format=format, what=what)
    assert indices(tmp_path / "rows", format) == ROWS[what]


@every_format
def test_without_a_word_it_is_the_cleaned_rows_and_in_tables_all(removal, tmp_path, format):
    whole = registry.load(registry.EXPORTERS, format, "format").WHOLE_TABLE
    pipeline.export(removal, tmp_path / "rows", format=format)
    assert indices(tmp_path / "rows", format) == (list(range(6)) if whole else ROWS["keep"])


def test_tables_say_which_rows_are_noisy(removal, tmp_path):
    pipeline.export(removal, tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as file:
        records = list(csv.DictReader(file))
    reasons = ["dropped-noisy", "kept", "dropped-noisy", "held-out", "dropped-noisy", "kept"]
    assert [record["reason"] for record in records] == reasons
    assert [record["id"] for record in records] == IDS


@pytest.mark.parametrize("what", [None, *ROWS])
@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_the_score_of_a_listed_row_is_its_suspicion(removal, tmp_path, format, what):
    path = pipeline.export(removal, tmp_path / f"rows.{format}", what=what)
    if format == "csv":
        with path.open(newline="", encoding="utf-8") as file:
            records = list(csv.DictReader(file))
        found = [{k: float(v) if v else None for k, v in r.items() if k in WANTED} for r in records]
    else:
        records = parquet.read_table(path).to_pylist()
        found = [{k: record[k] for k in WANTED} for record in records]
    suspicion = dict(zip(LIST, removal.suspicion.tolist(), strict=True))
    rows = range(6) if what is None else ROWS[what]
    expected = [suspicion.get(row) for row in rows]
    assert found == [{"score": value, "suspicion": value} for value in expected]
    assert tuple(records[0]) == (*COLUMNS, "suspicion")


def test_json_says_where_the_list_comes_from(removal, tmp_path):
    pipeline.export(removal, tmp_path / "rows.json")
    value = json.loads((tmp_path / "rows.json").read_text("utf-8"))
    assert (value["rule"], value["column"]) == ("clean", "cumulative_pl@20")
    assert value["parameters"]["cut_method"] == "probes"
    assert value["parameters"]["cut"] == 0.5


def test_plain_pytorch_trains_on_the_exported_rows(removal, tmp_path):
    pipeline.export(removal, tmp_path / "keep.npy")
    pipeline.export(removal, tmp_path / "keep.txt")
    mine = TensorDataset(torch.arange(6), torch.tensor(LABEL))
    for index in (np.load(tmp_path / "keep.npy"), np.loadtxt(tmp_path / "keep.txt", dtype=int)):
        [(rows, labels)] = DataLoader(Subset(mine, index), batch_size=6)
        assert rows.tolist() == ROWS["keep"]
        assert labels.tolist() == [LABEL[row] for row in ROWS["keep"]]


# labels


def test_plain_pytorch_trains_on_the_relabelled_rows(removal, tmp_path):
    assert (
        pipeline.export(removal, tmp_path / "new" / "labels.npy", relabel=True)
        == tmp_path / "new" / "labels.npy"
    )
    labels = np.load(tmp_path / "new" / "labels.npy", allow_pickle=False)
    assert labels.dtype == np.int64
    [(rows, found)] = DataLoader(
        TensorDataset(torch.arange(6), torch.from_numpy(labels)), batch_size=6
    )
    assert dict(zip(rows.tolist(), found.tolist(), strict=True)) == dict(enumerate(RELABELLED))


def test_the_csv_of_labels_names_every_row_once(removal, tmp_path):
    pipeline.export(removal, tmp_path / "labels.csv", relabel=True)
    with (tmp_path / "labels.csv").open(newline="", encoding="utf-8") as file:
        found = list(csv.reader(file))
    assert found == [
        ["index", "id", "label", "class"],
        *([str(row), IDS[row], str(RELABELLED[row]), NAMES[RELABELLED[row]]] for row in range(6)),
    ]


@pytest.mark.parametrize("suffix", [".npy", ".csv"])
def test_labels_come_back_over_the_data_that_they_are_of(tmp_path, suffix):
    """Over a data set without a test set of its own, whose held-out rows are never relabelled."""
    chance = np.random.default_rng(0)
    images, label = chance.integers(0, 256, (40, 4, 4), dtype=np.uint8), np.arange(40) % 2
    np.savez(tmp_path / "mine.npz", x_train=images, y_train=label)
    spec = f"npz:{tmp_path / 'mine.npz'}"
    data = load_data(spec)
    wrong = data.rows.training[[3, 30, 7]]
    removal = removal_of(wrong, 1 - label[wrong], rows=data.rows)
    pipeline.export(removal, tmp_path / f"labels{suffix}", relabel=True)
    again = load_data(spec, labels=tmp_path / f"labels{suffix}")
    assert np.flatnonzero(again.labels != label).tolist() == sorted(wrong)
    np.testing.assert_array_equal(again.true_labels, label)
    np.testing.assert_array_equal(again.test.label, data.test.label)


def test_labels_of_other_examples_are_refused_by_their_ids(removal, tmp_path):
    write_labels(tmp_path / "labels.csv", removal.rows, removal.relabelled())
    assert read_labels(tmp_path / "labels.csv", removal.rows.id)[0].tolist() == RELABELLED
    with pytest.raises(DataError, match="calls row 0"):
        read_labels(tmp_path / "labels.csv", removal.rows.id[::-1])


@pytest.mark.parametrize("name", ["labels.txt", "labels", "labels.h5", "labels.CSV"])
def test_labels_go_to_npy_or_csv(removal, tmp_path, name):
    with pytest.raises(OptionError, match=rf"{name} does not say .* ends in \.npy or \.csv"):
        pipeline.export(removal, tmp_path / name, relabel=True)
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_stays_when_labels_cannot_be_written(removal, tmp_path):
    (tmp_path / "file").write_bytes(b"old")
    for suffix in ("npy", "csv"):
        with pytest.raises(FileError, match="cannot write"):
            pipeline.export(removal, tmp_path / "file" / f"labels.{suffix}", relabel=True)
    assert (tmp_path / "file").read_bytes() == b"old"


def test_a_selection_suggests_no_labels_and_labels_are_no_list(removal, tmp_path):
    with pytest.raises(OptionError, match="requires a removal, which prune-kit clean writes"):
        pipeline.export(selection_of([KEPT]), tmp_path / "labels.npy", relabel=True)
    for options in ({"format": "npy"}, {"what": "keep"}):
        with pytest.raises(OptionError, match="takes no `format` and no `what`"):
            pipeline.export(removal, tmp_path / "labels.npy", relabel=True, **options)
    assert list(tmp_path.iterdir()) == []


def test_a_removal_that_was_read_exports_the_same(removal, tmp_path):
    removal.write(tmp_path / "removal.h5")
    shutil.copy(tmp_path / "removal.h5", tmp_path / "again.h5")
    for number, one in enumerate((removal, Removal.read(tmp_path / "again.h5"))):
        pipeline.export(one, tmp_path / f"{number}.json")
        pipeline.export(one, tmp_path / f"{number}.csv", relabel=True)
    for suffix in ("json", "csv"):
        assert (tmp_path / f"0.{suffix}").read_bytes() == (tmp_path / f"1.{suffix}").read_bytes()


def test_an_empty_list_keeps_everything(tmp_path):
    data = from_arrays(np.zeros((20, 4, 4), np.uint8), np.arange(20) % 2, name="same", spec="same")
    empty = removal_of([], [], rows=data.rows)
    pipeline.export(empty, tmp_path / "keep.npy")
    assert np.load(tmp_path / "keep.npy").tolist() == data.rows.training.tolist()
    pipeline.export(empty, tmp_path / "labels.npy", relabel=True)
    assert np.load(tmp_path / "labels.npy").tolist() == data.labels.tolist()
