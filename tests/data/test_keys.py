"""Lines of a CSV are joined with rows by a column that names them, and never by guessing."""

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit.comparison.external_scores import read_external_scores
from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.data.keys import KEYS, join_lines
from prune_kit.data.labels import read_labels
from prune_kit.errors import DataError, OptionError, PruneKitError

N = 12
LABEL = np.arange(N) % 3
ORDER = np.random.default_rng(1).permutation(N)
NAMES = [f"cat{row % 3}/{row:02d}.jpg" for row in range(N)]
SPELLINGS = {
    "as it is": lambda row: NAMES[row],
    "under a folder": lambda row: f"photos/2024/{NAMES[row]}",
    "absolute": lambda row: f"/home/me/photos/{NAMES[row]}",
    "with a dot": lambda row: f"./{NAMES[row]}",
    "of Windows": lambda row: f"D:\\photos\\{NAMES[row]}".replace("/", "\\"),
    "its file name": lambda row: NAMES[row].rpartition("/")[2],
}


def data() -> Dataset:
    images = np.random.default_rng(0).integers(0, 256, (N, 4, 4), dtype=np.uint8)
    return from_arrays(images, LABEL, name="mine", spec="mine", ids=NAMES)


def write(path: Path, columns: dict[str, list[object]]) -> Path:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    path.write_text(text.getvalue(), "utf-8")
    return path


def labels_of(path: Path, key: str | None = None) -> np.ndarray:
    labels, note = read_labels(path, data().ids, key=key)
    assert note == ""
    return labels


def scores_of(path: Path, key: str | None = None) -> np.ndarray:
    scores, note = read_external_scores(path, data().rows, key=key)
    assert note == ""
    return scores


READERS = [("label", labels_of), ("score", scores_of)]
READER_IDS = ["labels", "scores"]


@pytest.mark.parametrize(("value", "read"), READERS, ids=READER_IDS)
@pytest.mark.parametrize("name", [*KEYS, "", "Filename", " ID ", "Image_ID", "ROW"])
def test_a_column_that_names_rows_is_found_under_its_usual_names(tmp_path, name, value, read):
    usual = name.strip().casefold()
    keys = [row if usual in ("index", "row", "") else NAMES[row] for row in ORDER]
    path = write(tmp_path / "c.csv", {name: keys, value: LABEL[ORDER].tolist()})
    np.testing.assert_array_equal(read(path), LABEL)


@pytest.mark.parametrize(("value", "read"), READERS, ids=READER_IDS)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_path_stands_for_the_id_in_which_it_ends(tmp_path, spelling, value, read):
    keys = [SPELLINGS[spelling](row) for row in ORDER]
    path = write(tmp_path / "c.csv", {"path": keys, value: LABEL[ORDER].tolist()})
    np.testing.assert_array_equal(read(path), LABEL)


@pytest.mark.parametrize(("value", "read"), READERS, ids=READER_IDS)
def test_another_column_must_be_named(tmp_path, value, read):
    columns = {"photo": [NAMES[row] for row in ORDER], value: LABEL[ORDER].tolist()}
    path = write(tmp_path / "c.csv", columns)
    with pytest.raises(PruneKitError, match=r"columns 'photo', .* none of them .*key='photo'"):
        read(path)
    np.testing.assert_array_equal(read(path, key="Photo"), LABEL)
    with pytest.raises(OptionError, match=r"key='picture': .* it has: 'photo'"):
        read(path, key="picture")


@pytest.mark.parametrize("named", [True, False])
def test_row_numbers_are_taken_in_a_named_column_and_under_the_names_of_row_numbers(
    tmp_path, named
):
    path = write(tmp_path / "c.csv", {"image": ORDER.tolist(), "label": LABEL[ORDER].tolist()})
    with pytest.raises(DataError, match=r"if these are numbers of rows, call the column 'index'"):
        labels_of(path, key="image" if named else None)


def test_the_first_column_that_names_rows_is_taken_where_there_are_several(tmp_path):
    columns = {
        "id": [f"db-{row}" for row in range(N)],
        "filename": [NAMES[row] for row in ORDER],
        "label": LABEL[ORDER].tolist(),
    }
    np.testing.assert_array_equal(labels_of(write(tmp_path / "c.csv", columns)), LABEL)


@pytest.mark.parametrize(("value", "reader"), [("label", read_labels), ("score", None)])
def test_lines_are_in_the_order_of_rows_only_where_no_column_could_say_otherwise(
    tmp_path, value, reader
):
    path = write(tmp_path / "c.csv", {value: LABEL.tolist()})
    if reader:
        found, note = read_labels(path, data().ids)
    else:
        found, note = read_external_scores(path, data().rows)
    np.testing.assert_array_equal(found, LABEL)
    assert note == f"{path} has no column that names rows, so line i is taken for row i"


@pytest.mark.parametrize("length", [0, 1, N - 1, N + 1, 3 * N])
def test_another_number_of_lines_without_a_key_is_refused(tmp_path, length):
    path = write(tmp_path / "c.csv", {"label": [0] * length})
    with pytest.raises(DataError, match=r"has .* lines for 12 rows|does not have a row"):
        labels_of(path)


@given(st.permutations(range(N)), st.sampled_from(sorted(SPELLINGS)))
def test_any_order_of_lines_gives_the_same_rows(order, spelling):
    lines = [{"file": SPELLINGS[spelling](row), "label": "0"} for row in order]
    join = join_lines(lines, data().ids, where="c.csv", values=["label"])
    assert join.rows.tolist() == list(order) and not join.note


@pytest.mark.parametrize("other", ["cat0/99.jpg", "99.jpg", "", "cat0"])
def test_a_line_that_names_no_row_is_refused_by_name(tmp_path, other):
    keys = [*NAMES[:-1], other]
    path = write(tmp_path / "c.csv", {"file": keys, "label": LABEL.tolist()})
    with pytest.raises(DataError, match=rf"names '{other}' in its column 'file'"):
        labels_of(path)


def test_labels_may_be_names_of_classes(tmp_path):
    names = ("ant", "bee", "cow")
    texts = [names[number] for number in LABEL[ORDER]]
    path = write(tmp_path / "c.csv", {"row": ORDER.tolist(), "label": texts})
    labels, _ = read_labels(path, data().ids, names)
    np.testing.assert_array_equal(labels, LABEL)
    with pytest.raises(DataError, match="has the label 'ant', which is not a whole number as"):
        read_labels(path, data().ids, ("bee", "cow", "dog"))
