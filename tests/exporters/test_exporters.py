"""What every format in the folder keeps to, and each format read by the program it is for."""

import csv
import json

import numpy as np
import pytest
from pyarrow import parquet

from prune_kit import exporters, pipeline, registry
from prune_kit.errors import FileError, OptionError
from prune_kit.exporters import COLUMNS
from prune_kit.results.selection import DROPPED_EASY, DROPPED_HARD, HELD_OUT_REASON, KEPT, REASONS
from tests.small_tables import rows_of, selection_of

ALL = registry.module_names(registry.EXPORTERS)
MODULES = {name: registry.load(registry.EXPORTERS, name, "format") for name in ALL}
FORMATS = [name for name in ALL if MODULES[name].LISTS == "row numbers"]  # of any data
IDS = ['cat/a, "b".png', "größe/ß;'.png", "dog/日本\t.png", " dog/x\ny.png ", "-1", "cat/0.png"]
REASON = [KEPT, DROPPED_EASY, KEPT, HELD_OUT_REASON, DROPPED_HARD, KEPT]
LABEL = [0, 1, 1, 1, 1, 0]
NAMES = ("a, cat", 'dog "ß"')
SCORE = [0.25, 0.5, 1.5, None, 0.125, 1e-7]
ROWS = {None: range(6), "keep": [0, 2, 5], "drop": [1, 4]}
every_format = pytest.mark.parametrize("format", FORMATS)
both = pytest.mark.parametrize("what", ["keep", "drop"])


@pytest.fixture
def selection():
    """Three rows kept, two dropped, one held out, with names that are hard to write."""
    rows = rows_of(LABEL, ids=IDS, role=np.array(REASON) == HELD_OUT_REASON, class_names=NAMES)
    score = np.array([np.nan if value is None else value for value in SCORE], dtype=np.float32)
    return selection_of(REASON, rows=rows, score=score, scored_with={"seed": 0})


def expected_records(what):
    return [
        {
            "id": IDS[row],
            "index": row,
            "label": LABEL[row],
            "class": NAMES[LABEL[row]],
            "score": None if SCORE[row] is None else float(np.float32(SCORE[row])),
            "kept": REASON[row] == KEPT,
            "reason": REASONS[REASON[row]],
        }
        for row in ROWS[what]
    ]


def indices(path, format):
    """The row numbers in a file, as its reader gives them."""
    if format == "txt":
        return np.loadtxt(path, dtype=int, ndmin=1).tolist()
    if format == "npy":
        return np.load(path, allow_pickle=False).tolist()
    if format == "json":
        return json.loads(path.read_text("utf-8"))["index"]
    if format == "parquet":
        return parquet.read_table(path)["index"].to_pylist()
    with path.open(newline="", encoding="utf-8") as file:
        return [int(record["index"]) for record in csv.DictReader(file)]


# every format


def test_the_formats_of_the_issue_are_there():
    assert {"txt", "npy", "json", "csv", "parquet"} <= set(FORMATS)
    assert {"files", "folder", "hf"} <= set(ALL) - set(FORMATS)


@pytest.mark.parametrize("format", ALL)
def test_a_format_says_what_it_is(format):
    module = MODULES[format]
    assert registry.summary(registry.EXPORTERS, format).startswith(f"{format}: ")
    assert module.SUFFIX == f".{format}" if format in FORMATS else format in module.SUFFIX
    assert exporters.writes_folder(format) == (format in ("folder", "hf"))
    assert isinstance(module.WHOLE_TABLE, bool)


@every_format
@both
def test_the_rows_to_keep_and_to_drop_are_written_in_order(selection, tmp_path, format, what):
    path = pipeline.export(selection, tmp_path / "new" / "rows", format=format, what=what)
    assert path == tmp_path / "new" / "rows"
    assert indices(path, format) == ROWS[what]


@every_format
def test_without_a_word_tables_list_all_rows_and_lists_those_to_keep(selection, tmp_path, format):
    whole = registry.load(registry.EXPORTERS, format, "format").WHOLE_TABLE
    pipeline.export(selection, tmp_path / "rows", format=format)
    assert indices(tmp_path / "rows", format) == list(ROWS[None if whole else "keep"])


@every_format
@pytest.mark.filterwarnings("ignore:loadtxt")
def test_a_list_of_no_rows_is_a_file_too(selection, tmp_path, format):
    everything = selection_of([KEPT] * 3)
    pipeline.export(everything, tmp_path / "rows", format=format, what="drop")
    assert indices(tmp_path / "rows", format) == []


@every_format
def test_what_was_there_stays_when_a_file_cannot_be_written(selection, tmp_path, format):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(FileError, match="cannot write"):
        pipeline.export(selection, tmp_path / "file" / "rows", format=format)
    assert (tmp_path / "file").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@every_format
def test_the_name_of_a_file_says_what_it_holds(tmp_path, format):
    whole = registry.load(registry.EXPORTERS, format, "format").WHOLE_TABLE
    names = [
        exporters.export_path(tmp_path / "selection", format, what).name
        for what in (None, "keep", "drop")
    ]
    first = f"selection.{format}" if whole else f"selection-keep.{format}"
    assert names == [first, f"selection-keep.{format}", f"selection-drop.{format}"]


@every_format
@pytest.mark.parametrize("ending", ["", "/", "//"])
@pytest.mark.parametrize("there", [True, False])
def test_a_file_in_a_folder_has_its_usual_name(selection, tmp_path, format, ending, there):
    if there:
        (tmp_path / "lists").mkdir()
    if there and not ending:  # a file of that name cannot be written
        with pytest.raises(FileError, match="it is a folder"):
            pipeline.export(selection, tmp_path / "lists", format=format, what="drop")
        return
    path = pipeline.export(selection, f"{tmp_path}/lists{ending}", format=format, what="drop")
    name = f"lists/selection-drop.{format}" if ending else "lists"
    assert path == tmp_path / name and path.is_file()


@every_format
@pytest.mark.parametrize("option", ["data", "copy", "with_test"])
def test_an_option_of_another_format_is_refused(selection, tmp_path, format, option):
    with pytest.raises(OptionError, match=f"format='{format}' takes no `{option}`. .* is for"):
        pipeline.export(selection, tmp_path / "rows", format=format, **{option: True})


@pytest.mark.parametrize(("options", "told"), [
    ({"format": "cvs"}, "unknown format 'cvs'. Did you mean 'csv'"),
    ({"what": "all"}, "unknown `what` 'all'. There are: keep, drop"),
])  # fmt: skip
def test_an_unknown_word_is_refused(selection, tmp_path, options, told):
    with pytest.raises(OptionError, match=told):
        pipeline.export(selection, tmp_path / "rows", **options)
    assert list(tmp_path.iterdir()) == []


# one by one


def test_txt_has_one_number_a_line(selection, tmp_path):
    pipeline.export(selection, tmp_path / "rows.txt")
    assert (tmp_path / "rows.txt").read_bytes() == b"0\n2\n5\n"


def test_npy_is_int64(selection, tmp_path):
    pipeline.export(selection, tmp_path / "rows.npy", format="npy")
    assert np.load(tmp_path / "rows.npy").dtype == np.int64


@both
def test_json_holds_indices_ids_and_where_they_come_from(selection, tmp_path, what):
    pipeline.export(selection, tmp_path / "rows.json", format="json", what=what)
    assert json.loads((tmp_path / "rows.json").read_text("utf-8")) == {
        "index": ROWS[what],
        "id": [IDS[row] for row in ROWS[what]],
        "data": selection.rows.data,
        "fingerprint": selection.rows.fingerprint,
        "rule": "window",
        "parameters": selection.parameters,
        "column": "el2n@20",
        "scored_with": {"seed": 0},
        "created": selection.created,
        "label": [LABEL[row] for row in ROWS[what]],
        "class": [NAMES[LABEL[row]] for row in ROWS[what]],
    }


@pytest.mark.parametrize("what", ROWS)
def test_csv_has_a_line_for_each_row_whatever_its_id(selection, tmp_path, what):
    pipeline.export(selection, tmp_path / "rows.csv", format="csv", what=what)
    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as file:
        records = list(csv.DictReader(file))
    texts = [
        {k: "" if v is None else str(v) for k, v in record.items()}
        for record in expected_records(what)
    ]
    assert records == texts
    assert (
        tuple(records[0]) == COLUMNS == ("id", "index", "label", "class", "score", "kept", "reason")
    )


@pytest.mark.parametrize("what", ROWS)
def test_parquet_has_the_same_columns_with_types(selection, tmp_path, what):
    pipeline.export(selection, tmp_path / "rows.parquet", format="parquet", what=what)
    table = parquet.read_table(tmp_path / "rows.parquet")
    assert table.to_pylist() == expected_records(what)
    assert {field.name: str(field.type) for field in table.schema} == {
        "id": "string",
        "index": "int64",
        "label": "int64",
        "class": "string",
        "score": "double",
        "kept": "bool",
        "reason": "string",
    }


def test_parquet_has_the_same_types_without_scores_and_without_rows(tmp_path):
    for name, what in (("all", None), ("none", "drop")):
        pipeline.export(selection_of([KEPT] * 3), tmp_path / name, format="parquet", what=what)
    schemas = [parquet.read_schema(tmp_path / name) for name in ("all", "none")]
    assert str(schemas[0].field("score").type) == "double"
    assert schemas[0].equals(schemas[1])
