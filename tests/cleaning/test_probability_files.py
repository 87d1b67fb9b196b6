"""Probabilities that a user brings: every kind of file, number and layout gives the same table."""

import csv
import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from prune_kit import pipeline
from prune_kit.cleaning.probability_files import read_probabilities
from prune_kit.errors import FileError, IdentityError, PruneKitError
from prune_kit.results.table import ScoreTable
from tests.small_tables import rows_of

NAMES = ("cat", "dog", "a, b")
IDS = ["cat/0.png", "=1+1.png", "größe.png", "dog/3.png", "dog/ x.png", "5"]
LABEL = [0, 0, 1, 1, 2, 2]
ROWS = rows_of(LABEL, ids=IDS, class_names=NAMES, role=[0, 0, 0, 0, 0, 1])
# halves, quarters and eighths: every kind of float holds them exactly
PROBABILITY = np.array(
    [[0.5, 0.25, 0.25], [0.125, 0.75, 0.125], [0.25, 0.5, 0.25], [0, 1, 0], [0.5, 0, 0.5],
     [0.125, 0.125, 0.75]]
)  # fmt: skip
ORDER = np.array([3, 0, 5, 1, 4, 2])  # of the lines of a file that names its rows
SAID = "is taken for row i: it has no column that names the rows"
TYPES = ["e", "f", "d", "g", "<f2", ">f2", "<f4", ">f4", "<f8", ">f8", ">g"]


def read(path: Path) -> tuple[np.ndarray, str]:
    return read_probabilities(path, ROWS)


def write_csv(path: Path, header: list[str] | None, columns: list[list], order=range(6)) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([header] if header else [])
        writer.writerows([[column[row] for column in columns] for row in order])
    return path


PLAIN = [PROBABILITY[:, number].tolist() for number in range(3)]


# arrays


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("layout", ["C", "F"])
@pytest.mark.parametrize("kind", ["npy", "npz", "compressed", "npz named pred_probs"])
def test_every_float_in_every_layout_is_the_same(tmp_path, dtype, layout, kind):
    given = np.asarray(PROBABILITY, dtype=dtype, order=layout)
    path = tmp_path / f"probs.{kind[:3].replace('com', 'npz')}"
    if kind == "npy":
        np.save(path, given)
    elif kind == "compressed":
        np.savez_compressed(path, given)
    elif kind == "npz":
        np.savez(path, mine=given)
    else:
        np.savez(path, labels=np.arange(6), pred_probs=given, other=given[::-1])
    found, said = read(path)
    assert said == ""
    assert found.dtype.kind == "f" and found.dtype.isnative and found.dtype.itemsize <= 8
    np.testing.assert_array_equal(found, PROBABILITY)


@pytest.mark.parametrize("dtype", TYPES)
def test_the_list_is_the_same_for_every_float(dtype):
    table = ScoreTable(ROWS, {})
    given = np.asarray(PROBABILITY, dtype=dtype)
    removal = pipeline.clean(table, probability=given)
    expected = pipeline.clean(table, probability=PROBABILITY)
    assert removal.index.tolist() == expected.index.tolist() != []
    np.testing.assert_array_equal(removal.suspicion, expected.suspicion)
    np.testing.assert_array_equal(removal.suggested_label, expected.suggested_label)


def test_an_array_is_known_by_its_content(tmp_path):
    np.savez(tmp_path / "probs.npz", PROBABILITY)
    for name in ("probs.npy", "probs", "probs.NPZ"):
        (tmp_path / name).write_bytes((tmp_path / "probs.npz").read_bytes())
        np.testing.assert_array_equal(read(tmp_path / name)[0], PROBABILITY)


def test_an_npy_file_is_not_read_into_memory(tmp_path):
    np.save(tmp_path / "probs.npy", PROBABILITY)
    assert isinstance(read(tmp_path / "probs.npy")[0], np.memmap)


def saved(**arrays) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def dumped(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (saved(), "it has: nothing. Save it with numpy.savez"),
        (saved(a=LABEL, b=LABEL), "no array 'pred_probs', and not one alone; it has: a, b"),
        (saved(pred_probs=np.arange(6)), r"int64 \(6,\); expected floats \(N, C\)"),
        (dumped(PROBABILITY[0]), r"float64 \(3,\); expected floats"),
        (dumped(PROBABILITY[None]), r"float64 \(1, 6, 3\); expected floats"),
        (dumped(PROBABILITY > 0), r"bool \(6, 3\); expected floats"),
        (dumped(PROBABILITY.astype(int)), r"int64 \(6, 3\); expected floats"),
        (dumped(PROBABILITY.astype(complex)), r"complex128 \(6, 3\); expected floats"),
        (dumped(PROBABILITY.astype(object)), "cannot be read as npy or npz: .*; expected floats"),
        (saved(pred_probs=PROBABILITY.astype(object)), "cannot be read as npy or npz; expected"),
        (pickle.dumps(PROBABILITY), "cannot be read as npy or npz; expected floats"),
        (dumped(PROBABILITY)[:-9], "cannot be read as npy or npz: "),
        (saved(pred_probs=PROBABILITY)[:-40], "cannot be read as npy or npz"),
        (b"", "cannot be read as npy or npz: "),
        (b"0.5,0.5\n", "or .csv"),
    ],
)  # fmt: skip
def test_an_array_of_another_kind_is_refused(tmp_path, content, told):
    (tmp_path / "probs.npy").write_bytes(content)
    with pytest.raises(FileError, match=told):
        read(tmp_path / "probs.npy")


# CSV

LAYOUTS = {
    "no header": (None, PLAIN, range(6), True),
    "the classes": ([*NAMES], PLAIN, range(6), True),
    "classes in another order": (["a, b", "cat", "dog"], [PLAIN[2], *PLAIN[:2]], range(6), True),
    "blanks around": ([" cat ", "dog", "a, b "], PLAIN, range(6), True),
    "numbers, as pandas": (["0", "1", "2"], PLAIN, range(6), True),
    "numbers from 1": (["p1", "p2", "p3"], PLAIN, range(6), True),
    "numbers in another order": (["p_2", "p_0", "p_1"], [PLAIN[2], *PLAIN[:2]], range(6), True),
    "the index of pandas": (["", "0", "1", "2"], [range(6), *PLAIN], ORDER, False),
    "index": (["index", *NAMES], [range(6), *PLAIN], ORDER, False),
    "index as floats": (["index", *NAMES], [[float(i) for i in range(6)], *PLAIN], ORDER, False),
    "index behind": ([*NAMES, "index"], [*PLAIN, range(6)], ORDER, False),
    "ROW": (["ROW", "0", "1", "2"], [range(6), *PLAIN], ORDER, False),
    "id": (["id", *NAMES], [IDS, *PLAIN], ORDER, False),
    "an id that is escaped": (
        ["id", *NAMES], [[f"'{i}" if i[0] == "=" else i for i in IDS], *PLAIN], ORDER, False
    ),
    "file_name": (["file_name", "p0", "p1", "p2"], [IDS, *PLAIN], ORDER, False),
    "both": (["index", "id", *NAMES], [range(6), IDS, *PLAIN], ORDER, False),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_every_layout_of_a_csv_is_the_same(tmp_path, layout, mark, end):
    header, columns, order, in_order = LAYOUTS[layout]
    path = write_csv(tmp_path / "probs.CSV", header, columns, order)
    path.write_bytes(mark + path.read_bytes().replace(b"\r\n", end) + end)
    found, said = read(path)
    np.testing.assert_array_equal(found, PROBABILITY)
    assert said == (f"line i of probs.CSV {SAID}" if in_order else "")


@pytest.mark.parametrize("text", ["{:.3f}", "{:e}", " {} ", "{:+}"])
def test_numbers_may_be_written_as_python_writes_them(tmp_path, text):
    columns = [[text.format(value) for value in column] for column in PLAIN]
    np.testing.assert_array_equal(
        read(write_csv(tmp_path / "probs.csv", None, columns))[0], PROBABILITY
    )


@pytest.mark.parametrize(
    ("header", "columns", "told"),
    [
        (None, PLAIN[:2], "has 2 numbers a line, and npz:/data/mine.npz has 3 classes; name"),
        (None, [range(6), *PLAIN], "has 4 numbers a line, and .* has 3 classes; name the columns"),
        (None, [[], [], []], "is empty"),
        (["cat", "dog", "ship"], PLAIN, "columns cat, dog, ship; .* There is none for 'a, b'"),
        (["x", "y", "z"], PLAIN, "columns x, y, z; expected one for each of the 3 classes"),
        (["p2", "p3", "p4"], PLAIN, "columns p2, p3, p4; expected one for each"),
        (["p0", "p1", "q2"], PLAIN, "columns p0, p1, q2; expected one for each"),
        (["p0", "p1"], PLAIN[:2], "columns p0, p1; expected one for each"),
        (["p0", "p1", "p2", "p3"], [*PLAIN, PLAIN[0]], "columns p0, p1, p2, p3; expected one"),
        (["cat", "cat", "dog", "a, b"], [*PLAIN, PLAIN[0]], "the column 'cat' more than once"),
        (["label", *NAMES], [LABEL, *PLAIN], "the column 'label' besides the classes; leave it"),
        (["index", *NAMES], [[0, 1, 2, 3, 4, 4], *PLAIN], "names row 4 more than once"),
        (["index", *NAMES], [[1, 2, 3, 4, 5, 6], *PLAIN], "has '6' in the column 'index'; .* to 5"),
        (["index", *NAMES], [[0.5, 1, 2, 3, 4, 5], *PLAIN], "has '0.5' in the column 'index'"),
        (["index", *NAMES], [IDS, *PLAIN], "has 'cat/0.png' in the column 'index'; .* rows 0 to 5"),
        (["id", *NAMES], [range(6), *PLAIN], "has '0' in the column 'id'; .* such as 'cat/0"),
        (["id", "index", *NAMES], [IDS, [1, 0, 2, 3, 4, 5], *PLAIN], "line 2 is of two rows, 0 by"),
        ([*NAMES], [["x", 0, 0, 0, 0, 0], *PLAIN[1:]], "line 2 has 'x', which is not a number"),
        (["index", *NAMES], [range(6), ["", 0, 0, 0, 0, 0], *PLAIN[1:]], "line 2 has '', which is"),
    ],
)  # fmt: skip
def test_what_cannot_be_told_of_a_csv_is_refused(tmp_path, header, columns, told):
    order = range(min(map(len, columns)))
    with pytest.raises(PruneKitError, match=told):
        read(write_csv(tmp_path / "probs.csv", header, columns, order))


@pytest.mark.parametrize("header", [None, [*NAMES], ["index", *NAMES]])
@pytest.mark.parametrize("change", ["one less", "one more"])
def test_a_line_for_each_row_is_asked_for(tmp_path, header, change):
    order = list(range(6))[:-1] if change == "one less" else [*range(6), 0]
    columns = [range(6), *PLAIN] if header and len(header) > 3 else PLAIN
    with pytest.raises(IdentityError, match=r"lines of numbers for the 6 rows|names row \d"):
        read(write_csv(tmp_path / "probs.csv", header, columns, order))


def test_a_line_of_another_length_is_named(tmp_path):
    (tmp_path / "probs.csv").write_text('cat,dog,"a, b"\n0.5,0.5,0\n0.5,0.5\n')
    with pytest.raises(FileError, match="line 3 has 2 cells, and the first has 3"):
        read(tmp_path / "probs.csv")


def test_classes_that_are_called_as_a_key_are_classes(tmp_path):
    rows = rows_of([0, 1], class_names=("image", "path"))
    (tmp_path / "probs.csv").write_text("path,image\n0.25,0.75\n1,0\n")
    found, _ = read_probabilities(tmp_path / "probs.csv", rows)
    np.testing.assert_array_equal(found, [[0.75, 0.25], [0, 1]])


def test_classes_that_are_called_as_numbers_are_found_by_their_names(tmp_path):
    rows = rows_of([0, 1, 2], class_names=("1", "2", "0"))
    (tmp_path / "probs.csv").write_text("0,1,2\n0.25,0.75,0\n1,0,0\n0,0,1\n")
    found, _ = read_probabilities(tmp_path / "probs.csv", rows)
    np.testing.assert_array_equal(found, [[0.75, 0, 0.25], [0, 0, 1], [0, 1, 0]])
