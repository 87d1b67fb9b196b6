"""Score files of other people: what is read, and what is refused in which words."""

import numpy as np
import pytest

from prune_kit.comparison.external_scores import read_external_scores
from prune_kit.errors import FileError, IdentityError
from tests.small_tables import rows_of

LABELS = [0, 1, 2, 0, 1, 2]
SCORES = [0.9, 0.25, 1.0, 0.0, 0.5, 0.125]


@pytest.fixture
def rows():
    return rows_of(LABELS)


def write(path, content):
    if path.suffix == ".npz":
        np.savez(path, **content)
    elif path.suffix == ".npy":
        np.save(path, content)
    else:
        path.write_text("\n".join(content) + "\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.npz", {"scores": SCORES, "labels": LABELS}),
        ("c.npz", {"scores": np.float32(SCORES), "labels": np.uint8(LABELS), "more": [1]}),
        ("c.npy", SCORES),
        ("c.csv", ["score", *map(str, SCORES)]),
        (
            "c.csv",
            [
                "label,score",
                *(f"{label},{score}" for label, score in zip(LABELS, SCORES, strict=True)),
            ],
        ),
        ("c.csv", ["index,score", *(f"{row},{SCORES[row]}" for row in (3, 1, 0, 2, 5, 4))]),
        ("c.csv", ["id,score", *(f"train/{row},{SCORES[row]}" for row in (3, 1, 0, 2, 5, 4))]),
        ("c.csv", ["\ufeffindex,score", *(f"{row},{SCORES[row]}" for row in range(6))]),
    ],
)
def test_every_form_gives_the_same_scores_row_by_row(tmp_path, rows, name, content):
    np.testing.assert_allclose(
        read_external_scores(write(tmp_path / name, content), rows)[0], SCORES, rtol=1e-6
    )


def test_rows_that_a_csv_does_not_list_or_leaves_empty_have_no_score(tmp_path, rows):
    path = write(tmp_path / "c.csv", ["index,score,label", "4,0.5,1", "0,0.9,0", "1,,1"])
    np.testing.assert_array_equal(
        read_external_scores(path, rows)[0], [0.9, np.nan, np.nan, np.nan, 0.5, np.nan]
    )


def test_the_file_of_our_own_export_is_read(tmp_path, rows):
    from prune_kit.exporters import csv
    from tests.small_tables import selection_of

    selection = selection_of([0, 0, 1, 2, 0, 5], rows=rows, score=np.float32([*SCORES[:5], np.nan]))
    csv.export(selection, np.arange(6), tmp_path / "c.csv")
    np.testing.assert_allclose(
        read_external_scores(tmp_path / "c.csv", rows)[0], [*SCORES[:5], np.nan], rtol=1e-6
    )


OTHER_LABELS = [0, 1, 0, 0, 1, 1]

REFUSED = [
    (
        "c.npz",
        {"scores": SCORES, "labels": OTHER_LABELS},
        IdentityError,
        r"2 of 6 labels differ, the first in row 2 \(0",
    ),
    ("c.npz", {"scores": SCORES}, FileError, "has no labels; it has: scores"),
    (
        "c.npz",
        {"score": SCORES, "label": LABELS},
        FileError,
        "has no scores and no labels; it has: score, label",
    ),
    (
        "c.npz",
        {"scores": SCORES[:5], "labels": LABELS[:5]},
        IdentityError,
        "has 5 scores, but .* has 6 rows",
    ),
    (
        "c.npz",
        {"scores": SCORES, "labels": LABELS[:5]},
        IdentityError,
        "has 5 labels, but .* has 6 rows",
    ),
    ("c.npz", {"scores": ["a"] * 6, "labels": LABELS}, FileError, "scores are <U1, not numbers"),
    (
        "c.npz",
        {"scores": np.array(SCORES, object), "labels": LABELS},
        FileError,
        "cannot be read as npz",
    ),
    (
        "c.npy",
        [SCORES],
        FileError,
        r"scores have the shape \(1, 6\); expected one number per row, \(6,\)",
    ),
    ("c.npy", np.array([True] * 6), FileError, "scores are bool, not numbers"),
    ("c.npy", SCORES[:2], IdentityError, "has 2 scores, but .* has 6 rows"),
    (
        "c.csv",
        ["value", "1"],
        FileError,
        "has no column 'score'; its first line must name the columns",
    ),
    ("c.csv", ["score"], FileError, "has no column 'score'"),
    (
        "c.csv",
        ["index,score", "0,0.5", "1,=1+1"],
        FileError,
        r"line 3: score '=1\+1' is not a number",
    ),
    ("c.csv", ["index,score", "0"], FileError, "line 2: score None is not a number"),
    ("c.csv", ["index,score", "zero,1"], IdentityError, "has 'zero' in its column 'index'"),
    ("c.csv", ["index,score", "6,1"], IdentityError, "has '6' in .*; the rows are 0 to 5"),
    ("c.csv", ["index,score", "-1,1"], IdentityError, "has '-1' in its column 'index'"),
    ("c.csv", ["index,score", "1.5,1"], IdentityError, "has '1.5' in its column 'index'"),
    ("c.csv", ["index,score", "nan,1"], IdentityError, "has 'nan' in its column 'index'"),
    ("c.csv", ["index,score", "1,1", "1,2"], IdentityError, "has row 1 more than once"),
    (
        "c.csv",
        ["id,score", "test/1,1"],
        IdentityError,
        "names 'test/1' in its column 'id', .*; an example of an id is 'train/0'",
    ),
    (
        "c.csv",
        ["score", "1"],
        IdentityError,
        "has 1 lines for 6 rows; add a column 'index' or 'id'",
    ),
    (
        "c.csv",
        ["index,score,label", "0,1,0", "5,1,0"],
        IdentityError,
        r"1 of 2 labels differ, the first in row 5 \(0",
    ),
    ("c.csv", ["index,score,label", "0,1,cat"], FileError, "line 2: label 'cat' is not a number"),
]


@pytest.mark.parametrize(
    ("name", "content", "error", "message"), REFUSED, ids=[message for _, _, _, message in REFUSED]
)
def test_a_file_that_is_not_of_these_rows_is_refused_with_its_name_and_the_reason(
    tmp_path, rows, name, content, error, message
):
    path = write(tmp_path / name, content)
    with pytest.raises(error, match=message) as caught:
        read_external_scores(path, rows)[0]
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["c.npz", "c.npy", "c.csv"])
def test_a_file_of_anything_is_refused(tmp_path, rows, name):
    (tmp_path / name).write_bytes(b"\x00\xff\xfe" * 50)
    with pytest.raises(FileError, match=name):
        read_external_scores(tmp_path / name, rows)[0]


def test_no_code_in_a_file_is_ever_run(tmp_path, rows):
    np.save(tmp_path / "c.npy", np.array([print] * 6, object), allow_pickle=True)
    with pytest.raises(FileError, match="cannot be read as npy"):
        read_external_scores(tmp_path / "c.npy", rows)[0]


def test_the_true_labels_of_a_relabelled_table_are_accepted_only_when_asked(tmp_path):
    rows = rows_of(OTHER_LABELS, true_label=np.array(LABELS))
    path = write(tmp_path / "c.npz", {"scores": SCORES, "labels": LABELS})
    with pytest.raises(
        IdentityError,
        match="They are the true labels of a relabelled data set: align=True accepts them",
    ):
        read_external_scores(path, rows)[0]
    np.testing.assert_array_equal(read_external_scores(path, rows, by_content=True)[0], SCORES)
    third = write(tmp_path / "d.npz", {"scores": SCORES, "labels": [2, 2, 2, 2, 2, 2]})
    with pytest.raises(IdentityError, match="of other data, or in another order"):
        read_external_scores(third, rows, by_content=True)[0]
