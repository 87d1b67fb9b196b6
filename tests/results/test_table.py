import json
from dataclasses import fields, replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prune_kit.data.identity import Rows
from prune_kit.errors import FileError, TableError
from prune_kit.results.column import EXTRAS, TEST, ScoreColumn
from prune_kit.results.table import ScoreTable
from prune_kit.storage.hdf5 import FORMAT_VERSION
from tests.small_tables import column_of, rows_of, table_of

N, R, C, S, M = 12, 3, 4, 2, 5
PAGE = 4096


@pytest.fixture
def table():
    """Five columns, not in the order of their names, with all that a column can have."""
    rng = np.random.default_rng(0)
    rows = rows_of(
        rng.integers(0, C, N),
        role=rng.integers(0, 2, N),
        ids=[f'größe/{row}, "{row}".png' for row in range(N)],
        class_names=("a", "b", "größe", "d"),
        true_label=rng.integers(0, C, N),
        options={"labels_file": "/data/noisy.npy"},
        test_fingerprint="abc",
    )

    def numbers(*shape):
        return rng.normal(size=shape).astype(np.float32)

    never_learned = rng.integers(0, 5, N).astype(np.int32)
    probability = rng.random((N, C)).astype(np.float16)
    columns = [
        column_of(
            numbers(N),
            name="forgetting@20",
            parameters={"epoch": 20, "config": {"model": "mlp", "milestones": [1, 2]}},
            seeds=(7, 8, 9),
            seconds=1.5,
            extras={"per_run": numbers(R, N), "never_learned": never_learned},
        ),
        column_of(
            numbers(N),
            name="cumulative_pl@20",
            harder="lower",
            seeds=(7, 8, 9),
            extras={"per_run": numbers(R, N), "probability": probability},
        ),
        column_of(
            np.where(rng.random(N) < 0.5, np.nan, np.inf),
            name="cscore",
            parameters={"ratios": [30, 70]},
            extras={
                "per_ratio": numbers(S, N),
                "per_ratio_votes": np.ones((S, N), np.int32),
                "votes": never_learned,
            },
        ),
        column_of(
            numbers(N), name="consistency@3", test={"scores": numbers(M), "per_run": numbers(R, M)}
        ),
        column_of(numbers(N), name="input_norm", companion=True),
    ]
    test_rows = Rows(
        rows.id[:M],
        rows.digest[:M],
        rows.label[:M],
        np.ones(M, np.uint8),
        rows.class_names,
        rows.data,
    )
    return ScoreTable(rows, {column.name: column for column in columns}, test_rows=test_rows)


@pytest.fixture
def path(tmp_path, table):
    """The table, written."""
    table.write(tmp_path / "scores.h5")
    return tmp_path / "scores.h5"


def assert_same_column(found, expected):
    for field in fields(ScoreColumn):
        if field.name not in ("values", "extras", "test"):
            assert getattr(found, field.name) == getattr(expected, field.name), field.name
    arrays = {"values": (found.values, expected.values)}
    assert list(found.extras) == [kind for kind in EXTRAS if kind in expected.extras]
    arrays |= {kind: (values, expected.extras[kind]) for kind, values in found.extras.items()}
    assert set(found.test) == set(expected.test)
    arrays |= {f"test {kind}": (values, expected.test[kind]) for kind, values in found.test.items()}
    for given_array, expected_array in arrays.values():
        np.testing.assert_array_equal(given_array, expected_array, strict=True)


# the file


def test_a_table_comes_back_with_every_extra_and_its_columns_in_their_order(table, path):
    found = ScoreTable.read(path)
    assert list(found.columns) == [
        "forgetting@20",
        "cumulative_pl@20",
        "cscore",
        "consistency@3",
        "input_norm",
    ]
    for name, column in table.columns.items():
        assert_same_column(found.columns[name], column)
    assert found.columns["forgetting@20"].runs == 3
    assert found.created == table.created
    assert found.test_rows.fingerprint == table.test_rows.fingerprint
    assert found.rows.test_fingerprint == "abc"
    for field in ("id", "digest", "label", "role", "true_label"):
        np.testing.assert_array_equal(getattr(found.rows, field), getattr(table.rows, field))
    for field in ("class_names", "data", "options", "fingerprint"):
        assert getattr(found.rows, field) == getattr(table.rows, field)


def test_a_table_that_is_read_and_written_again_says_the_same(table, path, tmp_path):
    ScoreTable.read(path).write(tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()


@given(
    values=arrays(np.float32, st.integers(1, 30)),
    label_seed=st.integers(0, 100),
    name=st.sampled_from(["el2n@20", "grand@0", "random"]),
)
def test_every_value_survives_to_the_last_bit(tmp_path_factory, values, label_seed, name):
    label = np.random.default_rng(label_seed).integers(0, 3, len(values))
    path = tmp_path_factory.mktemp("table") / "scores.h5"
    table_of(values, name=name, label=label).write(path)
    found = ScoreTable.read(path)
    assert found.column().values.tobytes() == values.tobytes()
    np.testing.assert_array_equal(found.rows.label, label)


def test_some_columns_can_be_read_and_the_extras_left(table, path):
    found = ScoreTable.read(path, only=["cscore", "nowhere", "forgetting@20"], extras=False)
    assert list(found.columns) == ["cscore", "forgetting@20"]
    assert found.columns["forgetting@20"].extras == {}
    assert len(found.rows) == N


def test_the_file_has_the_layout_of_the_design(table, path):
    with h5py.File(path) as file:
        assert set(file) == {
            "id", "digest", "role", "label", "true_label", "scores", "test", *EXTRAS,
        }  # fmt: skip
        attributes = dict(file.attrs)
        assert attributes.pop("format") == "prune_kit.scores"
        assert attributes.pop("format_version") == FORMAT_VERSION == 1
        assert attributes.pop("data") == table.rows.data
        assert attributes.pop("fingerprint") == table.rows.fingerprint
        assert json.loads(attributes.pop("class_names")) == list(table.rows.class_names)
        assert attributes.pop("created") == table.created
        assert set(attributes) == {"prune_kit_version", "test_fingerprint", "data_options"}
        layout = {
            name: (file[name].dtype, file[name].shape)
            for name in ("digest", "role", "label", "true_label")
        }
        assert layout == {
            "digest": (np.uint64, (N,)), "role": (np.uint8, (N,)),
            "label": (np.int64, (N,)), "true_label": (np.int64, (N,)),
        }  # fmt: skip
        assert h5py.check_string_dtype(file["id"].dtype).encoding == "utf-8"
        assert list(file["id"].asstr()) == [text.decode() for text in table.rows.id]
        for name, column in table.columns.items():
            dataset = file["scores"][name]
            assert (dataset.dtype, dataset.shape) == (np.float32, (N,))
            attributes = "method harder parameters seeds runs seconds created summary hardest_rows"
            assert set(dataset.attrs) - {"companion"} == set(attributes.split())
            assert (dataset.attrs["method"], dataset.attrs["harder"]) == (
                column.method,
                column.harder,
            )
            assert json.loads(dataset.attrs["parameters"]) == column.parameters
            assert tuple(dataset.attrs["seeds"]) == column.seeds
            assert dataset.attrs["runs"] == len(column.seeds)
        assert [name for name in file["scores"] if "companion" in file["scores"][name].attrs] == [
            "input_norm"
        ]
        extras = {
            f"{kind}/{name}": (d.dtype, d.shape)
            for kind in EXTRAS
            for name, d in file[kind].items()
        }
        tested = {
            f"{kind}/{name}": (d.dtype, d.shape)
            for kind in TEST
            for name, d in file["test"][kind].items()
        }
        assert tested == {
            "scores/consistency@3": (np.float32, (M,)),
            "per_run/consistency@3": (np.float32, (R, M)),
        }
        assert set(file["test"]) == {"id", "digest", "label", "role", *TEST}
        assert file["per_ratio/cscore"].attrs["ratios"].tolist() == [30, 70]
        assert extras == {
            "per_ratio/cscore": (np.float32, (S, N)),
            "per_ratio_votes/cscore": (np.int32, (S, N)),
            "per_run/forgetting@20": (np.float32, (R, N)),
            "per_run/cumulative_pl@20": (np.float32, (R, N)),
            "votes/cscore": (np.int32, (N,)),
            "never_learned/forgetting@20": (np.int32, (N,)),
            "probability/cumulative_pl@20": (np.float16, (N, C)),
        }


def test_no_true_label_stands_in_a_file_where_none_is_known(tmp_path):
    table_of([1, 2]).write(tmp_path / "scores.h5")
    with h5py.File(tmp_path / "scores.h5") as file:
        assert set(file) == {"id", "digest", "role", "label", "scores"}
    assert ScoreTable.read(tmp_path / "scores.h5").rows.true_label is None


def some_probes(rows):
    """The next class in every second training row, -1 elsewhere."""
    chosen = rows.training[::2]
    label = np.full(len(rows), -1, np.int64)
    label[chosen] = (rows.label[chosen] + 1) % C
    return label


def test_planted_labels_come_back_beside_the_given_ones(table, tmp_path):
    path, label = tmp_path / "probed.h5", some_probes(table.rows)
    replace(table, probe_label=label).write(path)
    with h5py.File(path) as file:
        assert (file["probe_label"].dtype, file["probe_label"].shape) == (np.int64, (N,))
    found = ScoreTable.read(path, extras=False)
    np.testing.assert_array_equal(found.probe_label, label, strict=True)
    np.testing.assert_array_equal(found.probes, table.rows.training[::2])
    assert found.rows.fingerprint == table.rows.fingerprint
    assert found.with_columns([column_of(np.zeros(N))]).probe_label is found.probe_label


def test_no_planted_label_stands_in_a_file_where_none_was_planted(path):
    with h5py.File(path) as file:
        assert "probe_label" not in file
    found = ScoreTable.read(path)
    assert found.probe_label is None
    assert found.probes.tolist() == []


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda rows, label: label[:-1], r"probe_label is int64 \(11,\) for 12 rows"),
        (lambda rows, label: label.astype(float), r"probe_label is float64"),
        (lambda rows, label: np.bytes_("none"), r"probe_label is \|S4 \(\)"),
        (
            lambda rows, label: np.where(label == -1, -1, C),
            "is not another class of a training row",
        ),
        (
            lambda rows, label: np.where(label == -1, -2, label),
            "is not another class of a training row",
        ),
        (
            lambda rows, label: np.where(label == -1, -1, rows.label),
            "is not another class of a training row",
        ),
        (
            lambda rows, label: np.where(rows.role == 1, (rows.label + 1) % C, -1),
            "of a training row",
        ),
    ],
)
def test_planted_labels_that_cannot_be_are_noticed(table, tmp_path, spoil, told):
    path, label = tmp_path / "probed.h5", some_probes(table.rows)
    replace(table, probe_label=label).write(path)
    with h5py.File(path, "r+") as file:
        del file["probe_label"]
        file["probe_label"] = spoil(table.rows, label)
    with pytest.raises(FileError, match=f"{path} is damaged: .*{told}"):
        ScoreTable.read(path)


@pytest.mark.parametrize("name", ["label", "digest"])
def test_rows_that_were_tampered_with_are_noticed(path, name):
    with h5py.File(path, "r+") as file:
        values = file[name][()]
        values[3] ^= values.dtype.type(1)
        file[name][...] = values
    with pytest.raises(FileError, match=f"{path} is damaged.*fingerprint"):
        ScoreTable.read(path)


def test_a_column_of_another_length_is_noticed(path):
    with h5py.File(path, "r+") as file:
        attributes = dict(file["scores/cscore"].attrs)
        del file["scores/cscore"]
        file["scores/cscore"] = np.zeros(N - 1, np.float32)
        file["scores/cscore"].attrs.update(attributes)
    with pytest.raises(FileError, match="cscore"):
        ScoreTable.read(path)


@pytest.mark.parametrize("name", ["id", "digest", "label", "role", "scores"])
def test_a_table_that_lacks_a_part_is_refused(path, name):
    with h5py.File(path, "r+") as file:
        del file[name]
    with pytest.raises(FileError, match="is incomplete or damaged"):
        ScoreTable.read(path)


def test_a_file_that_lost_a_page_of_the_disk_is_refused_or_read_but_is_never_a_bug(tmp_path):
    path = tmp_path / "scores.h5"
    table_of([3, 1, 2], label=[0, 1, 0]).write(path)
    whole, refused = path.read_bytes(), 0
    for start in range(0, len(whole), PAGE):
        path.write_bytes((whole[:start] + bytes(PAGE) + whole[start + PAGE :])[: len(whole)])
        try:
            found = ScoreTable.read(path)
        except FileError as error:
            refused += 1
            assert str(path) in str(error)
            assert "\n" not in str(error)
        else:
            assert len(found.rows) == 3
    assert refused


# columns


@given(values=arrays(np.float32, st.integers(1, 20), elements=st.floats(-100, 100, width=32)))
def test_hardness_is_turned_round_where_lower_is_harder(values):
    higher, lower = (table_of(values, harder=harder) for harder in ("higher", "lower"))
    np.testing.assert_array_equal(higher.hardness(), values)
    np.testing.assert_array_equal(lower.hardness(), -values)
    np.testing.assert_array_equal(lower.column().values, values)


def test_the_only_column_needs_no_name_and_companions_do_not_count():
    table = table_of([1, 2]).with_columns([column_of([3, 4], name="input_norm", companion=True)])
    assert table.column().name == "el2n@20"
    assert table.column("input_norm").companion
    np.testing.assert_array_equal(table.hardness("input_norm"), [3, 4])


def test_of_several_columns_one_must_be_named_and_all_are_listed():
    table = table_of([1, 2]).with_columns(
        [column_of([3, 4], name="grand@20"), column_of([3, 4], name="input_norm", companion=True)]
    )
    with pytest.raises(TableError) as caught:
        table.column()
    assert str(caught.value) == "which column? Say `by`, one of: el2n@20, grand@20, input_norm"


def test_an_unknown_column_is_refused_with_the_nearest():
    table = table_of([1, 2]).with_columns([column_of([3, 4], name="grand@20")])
    with pytest.raises(TableError) as caught:
        table.hardness("el2n@21")
    assert str(caught.value) == (
        "unknown column 'el2n@21'. Did you mean 'el2n@20'? There are: el2n@20, grand@20"
    )


def test_a_column_replaces_its_namesake_in_its_place_and_leaves_the_others():
    table = table_of([1, 2]).with_columns([column_of([3, 4], name="grand@20")])
    changed = table.with_columns([column_of([5, 6]), column_of([7, 8], name="aum@20")])
    assert list(changed.columns) == ["el2n@20", "grand@20", "aum@20"]
    np.testing.assert_array_equal(changed.hardness("el2n@20"), [5, 6])
    np.testing.assert_array_equal(table.hardness("el2n@20"), [1, 2])
    assert replace(table, columns={}).with_columns(table.columns.values()).columns == table.columns
