import hashlib
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from prune_kit.data.identity import (
    Rows,
    aligned_rows,
    array_digests,
    check_same,
    content_digests,
    explain_difference,
    fingerprint,
    read_rows,
    write_rows,
)
from prune_kit.errors import FileError, IdentityError


def rows_of(digest, label=None):
    digest = np.asarray(digest, dtype=np.uint64)
    n = len(digest)
    return Rows(
        id=np.array([f"train/{row}".encode() for row in range(n)], dtype="S12"),
        digest=digest,
        label=np.zeros(n, np.int64) if label is None else np.asarray(label, np.int64),
        role=np.zeros(n, np.uint8),
        class_names=("a", "b"),
        data="mine:here",
    )


DIGESTS = st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=40)
FEW_DIGESTS = st.lists(st.integers(0, 5), min_size=1, max_size=40)  # many copies


# digests and fingerprint


def test_a_digest_is_the_64_bit_blake2b_of_the_content():
    expected = int.from_bytes(hashlib.blake2b(b"abc", digest_size=8).digest(), "little")
    digests = content_digests([b"abc", b""])
    assert digests[0] == expected
    assert (digests.dtype, digests.shape) == (np.dtype(np.uint64), (2,))


def test_the_digest_of_an_array_is_that_of_its_bytes_however_it_lies_in_memory():
    images = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    turned = np.asfortranarray(images)
    np.testing.assert_array_equal(array_digests(images), array_digests(turned))
    np.testing.assert_array_equal(
        array_digests(images), content_digests(image.tobytes() for image in images)
    )


@given(DIGESTS, st.data())
def test_the_fingerprint_depends_on_the_order(digest, data):
    order = data.draw(st.permutations(range(len(digest))))
    digest = np.array(digest, dtype=np.uint64)
    label = np.zeros(len(digest), np.int64)
    assume((digest[order] != digest).any())
    assert fingerprint(digest, label) != fingerprint(digest[order], label)


@given(DIGESTS, st.data())
def test_the_fingerprint_depends_on_every_label(digest, data):
    digest = np.array(digest, dtype=np.uint64)
    row = data.draw(st.integers(0, len(digest) - 1))
    label = np.zeros(len(digest), np.int64)
    assert fingerprint(digest, label) != fingerprint(
        digest, label + (np.arange(len(digest)) == row)
    )


def test_the_fingerprint_stays_what_it_is_from_version_to_version():
    digest = np.array([1, 2**64 - 1], dtype=np.uint64)
    assert (
        fingerprint(digest, np.array([0, 7]))
        == fingerprint(digest, np.array([0, 7], np.uint8))
        == GOLDEN
    )


GOLDEN = "3934700852f8d5fce5aa0e605d919ce6"


# explain_difference


def test_the_same_rows_are_the_same():
    check_same(rows_of([1, 2, 2]), rows_of([1, 2, 2]), "a.h5", "b.h5")


@given(DIGESTS, st.data())
def test_another_order_is_called_so(digest, data):
    order = data.draw(st.permutations(digest))
    assume(order != digest)
    row = next(row for row in range(len(digest)) if order[row] != digest[row])
    difference = explain_difference(rows_of(order), rows_of(digest))
    assert difference.startswith(
        f"the same examples in another order (the first that differs is row {row})"
    )


@given(DIGESTS, st.data())
def test_other_labels_are_counted(digest, data):
    changed = data.draw(st.sets(st.integers(0, len(digest) - 1), min_size=1))
    label = np.isin(np.arange(len(digest)), sorted(changed)).astype(int)
    difference = explain_difference(rows_of(digest, label), rows_of(digest))
    assert (
        f"{len(changed)} of {len(digest)} are relabelled, the first in row {min(changed)}"
        in difference
    )


@given(FEW_DIGESTS, st.data())
def test_a_subset_in_any_order_is_called_so(digest, data):
    part = data.draw(st.permutations(digest))[: data.draw(st.integers(0, len(digest) - 1))]
    assume(part)
    assert explain_difference(rows_of(part), rows_of(digest)).startswith(
        f"a subset: {len(part)} examples against {len(digest)}"
    )
    assert explain_difference(rows_of(digest), rows_of(part)).startswith("a superset")


@given(st.integers(2, 40), st.data())
def test_a_few_changed_contents_are_counted_and_the_first_is_named(n, data):
    changed = data.draw(st.sets(st.integers(0, n - 1), min_size=1, max_size=n // 2))
    digest = [1000 + row if row in changed else row for row in range(n)]
    difference = explain_difference(rows_of(digest), rows_of(range(n)))
    assert difference == (
        f"{len(changed)} of {n} examples have other content, the first is row {min(changed)} "
        f"(train/{min(changed)})"
    )


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 5))
def test_another_data_set_is_called_so_with_what_is_in_common(n, m, common):
    assume(common < n and common < m and common < m / 2)
    difference = explain_difference(
        rows_of(range(n)), rows_of([*range(common), *range(100, 100 + m - common)])
    )
    assert difference == f"another data set: {n} examples against {m}, {common} of them in common"


def test_the_refusal_names_both_sides():
    with pytest.raises(IdentityError, match=r"^scores\.h5 .* mnist:here: another data set"):
        check_same(rows_of([1]), rows_of([2, 3]), "scores.h5", "mnist:here")


# aligned_rows


@given(FEW_DIGESTS, st.data())
def test_a_permutation_is_undone_and_copies_are_paired_one_to_one(digest, data):
    order = data.draw(st.permutations(digest))
    given_rows, expected = rows_of(order), rows_of(digest)
    rows = aligned_rows(given_rows, expected, "a", "b")
    np.testing.assert_array_equal(given_rows.digest[rows], expected.digest)
    assert sorted(rows) == list(range(len(digest)))
    for value in set(digest):
        assert (np.diff(rows[expected.digest == value]) > 0).all()


@given(FEW_DIGESTS, FEW_DIGESTS)
def test_rows_without_a_partner_are_minus_one_and_none_is_used_twice(left, right):
    assume(set(left) & set(right))
    given_rows, expected = rows_of(left), rows_of(right)
    rows = aligned_rows(given_rows, expected, "a", "b")
    matched = rows >= 0
    np.testing.assert_array_equal(given_rows.digest[rows[matched]], expected.digest[matched])
    assert len(set(rows[matched])) == matched.sum()
    for value in set(right):
        assert matched[expected.digest == value].sum() == min(left.count(value), right.count(value))


def test_nothing_in_common_cannot_be_aligned():
    with pytest.raises(IdentityError, match=r"a\.h5 and b\.h5 do not share an example"):
        aligned_rows(rows_of([1, 2]), rows_of([3]), "a.h5", "b.h5")


# files


def test_rows_come_back_from_a_file_as_they_went(tmp_path):
    rows = replace(
        rows_of([5, 2**64 - 1, 7], [0, 1, 1]),
        true_label=np.array([1, 1, 0]),
        options={"image_size": 64},
    )
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_rows(file, rows)
    with h5py.File(tmp_path / "a.h5") as file:
        back = read_rows(file)
    for name in ("id", "digest", "label", "role", "true_label"):
        np.testing.assert_array_equal(getattr(back, name), getattr(rows, name))
    assert (back.class_names, back.data, back.options) == (
        ("a", "b"),
        "mine:here",
        {"image_size": 64},
    )
    assert back.fingerprint == rows.fingerprint


@pytest.mark.parametrize("column", ["digest", "label", "role"])
def test_rows_that_are_not_the_fingerprinted_ones_are_refused(tmp_path, column):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_rows(file, rows_of([5, 6, 7]))
        values = file[column][()]
        del file[column]
        file[column] = values[:2] if column == "role" else values + values.dtype.type(1)
    with (
        h5py.File(tmp_path / "a.h5") as file,
        pytest.raises(FileError, match=r"a\.h5 is damaged: its rows are not"),
    ):
        read_rows(file)


def test_at_a_glance_rows_are_read_as_they_are_looked_at(tmp_path):
    rows = replace(rows_of([5, 2**64 - 1, 7], [0, 1, 1]), true_label=np.array([1, 1, 0]))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_rows(file, rows)
        write_rows(file.create_group("none"), rows_of([]))
    with h5py.File(tmp_path / "a.h5") as file:
        glanced, none = (read_rows(part, glance=True) for part in (file, file["none"]))
    for name in ("id", "digest", "label", "role", "true_label"):
        np.testing.assert_array_equal(getattr(glanced, name), getattr(rows, name))
        assert isinstance(getattr(glanced, name).base, np.memmap) == (name != "role")
    assert len(none) == 0


def test_at_a_glance_rows_of_different_lengths_are_refused_still(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        write_rows(file, rows_of([5, 6, 7]))
        del file["role"]
        file["role"] = np.zeros(2, np.uint8)
    with (
        h5py.File(tmp_path / "a.h5") as file,
        pytest.raises(FileError, match=r"a\.h5 is damaged: its rows are not"),
    ):
        read_rows(file, glance=True)


@given(label=st.lists(st.integers(0, 4), max_size=40), data=st.data())
def test_the_rows_of_each_class_keep_their_order(label, data):
    rows = replace(rows_of(np.arange(len(label)), label), class_names=("a", "b", "c", "d", "e"))
    index = np.array(data.draw(st.permutations(range(len(label)))), dtype=np.int64)[
        : data.draw(st.integers(0, 40))
    ]
    expected = [[row for row in index if label[row] == number] for number in range(5)]
    assert [part.tolist() for part in rows.per_class(index)] == expected
