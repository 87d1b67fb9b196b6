from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import prune_kit
from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.errors import IdentityError, OptionError, TableError
from prune_kit.pipeline import retrain, score, select
from prune_kit.progress import Progress
from prune_kit.results.outcomes import Outcomes
from prune_kit.results.reloading import aligned, load_again
from prune_kit.results.selection import Selection
from prune_kit.results.table import ScoreTable
from tests.conftest import TINY, shapes_data

FOUR = "el2n,grand,forgetting,cumulative_pl"


class Listened:
    """Counts the networks that were trained."""

    def __init__(self) -> None:
        self.steps: list[Progress] = []

    def __call__(self, step: Progress) -> None:
        self.steps.append(step)

    @property
    def networks(self) -> int:
        return sum(step.networks for step in self.steps if step.done == step.total)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def table(shapes: Dataset, workdir: Path) -> ScoreTable:
    return score(shapes, FOUR, epoch=2, runs=3, config=TINY, jobs=1, workdir=workdir)


def again(
    shapes: Dataset, table: ScoreTable, workdir: Path, methods: str, **options: object
) -> tuple[ScoreTable, int]:
    heard = Listened()
    options = {"jobs": 1, **options}
    return score(
        shapes, methods, table=table, workdir=workdir, progress=heard, **options
    ), heard.networks  # type: ignore[arg-type]


def test_one_training_serves_every_score(shapes: Dataset, table: ScoreTable, workdir: Path) -> None:
    assert len(list((workdir / "runs").iterdir())) == 3
    assert list(table.columns) == [
        "el2n@2",
        "grand@2",
        "forgetting@2",
        "cumulative_pl@2",
        "input_norm",
    ]
    assert table.columns["input_norm"].companion


def test_the_same_command_again_trains_nothing(
    shapes: Dataset, table: ScoreTable, workdir: Path
) -> None:
    same, trained = again(shapes, table, workdir, FOUR, epoch=2)
    assert trained == 0
    assert all(same.columns[name] is column for name, column in table.columns.items())


def test_another_method_and_an_earlier_epoch_of_it_train_nothing(
    shapes: Dataset, table: ScoreTable, workdir: Path
) -> None:
    more, trained = again(
        shapes, table, workdir, "aum,cumulative_accuracy,forgetting", epoch=[1, 2]
    )
    assert trained == 0
    assert {"aum@1", "aum@2", "forgetting@1"} <= more.columns.keys()


def test_more_runs_extend_and_fewer_keep_what_is_there(
    shapes: Dataset, table: ScoreTable, workdir: Path
) -> None:
    more, trained = again(shapes, table, workdir, "el2n", epoch=2, runs=4)
    assert trained == 1
    assert more.columns["el2n@2"].seeds == (0, 1, 2, 3)
    np.testing.assert_array_equal(
        more.columns["el2n@2"].extras["per_run"][:3], table.columns["el2n@2"].extras["per_run"]
    )
    fewer, trained = again(shapes, table, workdir, "el2n", epoch=2, runs=1)
    assert trained == 0
    assert fewer.columns["el2n@2"].runs == 3


def test_another_protocol_or_seed_is_refused_and_the_difference_named(
    shapes: Dataset, table: ScoreTable, workdir: Path
) -> None:
    with pytest.raises(TableError, match=r"model mlp \(the table has convnet\).*table=None"):
        again(shapes, table, workdir, "aum", epoch=2, model="mlp")
    with pytest.raises(TableError, match=r"seed 7 \(the table has 0\)"):
        again(shapes, table, workdir, "aum", epoch=2, seed=7)
    with pytest.raises(TableError, match=r"learning_rate 0\.01 \(the table has 0\.05\)"):
        again(shapes, table, workdir, "aum", epoch=2, config=TINY.changed({"learning_rate": 0.01}))


def test_a_table_of_other_data_is_refused(table: ScoreTable, workdir: Path) -> None:
    with pytest.raises(IdentityError, match="another data set"):
        again(shapes_data(seed=9), table, workdir, "aum", epoch=2)
    relabelled = shapes_data().relabelled((shapes_data().labels + 1) % 3, "noisy.npy")
    with pytest.raises(IdentityError, match="77 of 77 are relabelled"):
        again(relabelled, table, workdir, "aum", epoch=2)


def test_an_epoch_outside_the_protocol_is_refused(shapes: Dataset, workdir: Path) -> None:
    for method, epoch in (("el2n", 4), ("el2n", -1), ("forgetting", 0)):
        with pytest.raises(OptionError, match=rf"epoch={epoch} is out of range for {method}"):
            score(shapes, method, epoch=epoch, config=TINY, workdir=workdir)


def test_rows_held_out_as_test_score_nan(workdir: Path) -> None:
    data = shapes_data()
    alone = from_arrays(data.images, data.labels, name="alone", spec="alone")
    table = score(
        alone, "el2n,forgetting,input_norm", epoch=1, runs=1, config=TINY, workdir=workdir
    )
    for column in table.columns.values():
        assert np.array_equal(np.isnan(column.values), alone.rows.role == 1)


@pytest.fixture(scope="module")
def selection(table: ScoreTable) -> Selection:
    return select(table, by="el2n@2", keep=0.5, offset=0.1)


@pytest.fixture(scope="module")
def outcomes(shapes: Dataset, selection: Selection, workdir: Path) -> Outcomes:
    return retrain(shapes, selection, runs=2, jobs=1, workdir=workdir)


def test_the_selection_carries_its_provenance(selection: Selection) -> None:
    assert selection.column == "el2n@2"
    assert selection.parameters == {
        "keep": 0.5,
        "offset": 0.1,
        "offset_from": "hard",
        "per_class": False,
    }
    assert selection.scored_with["config"]["model"] == "convnet"


def test_options_that_a_rule_does_not_take_are_refused(table: ScoreTable) -> None:
    with pytest.raises(OptionError, match="rule='top' takes no `offset`; it takes `per_class`"):
        select(table, rule="top", by="el2n@2", offset=0.1)


def test_retraining_compares_full_selection_and_random_on_the_same_seeds_and_steps(
    outcomes: Outcomes,
) -> None:
    assert [(row.selection, row.seed, row.kept) for row in outcomes.rows] == [
        (name, seed, kept)
        for name, kept in (("full", 77), ("selection", 38), ("random-38", 38))
        for seed in (1000, 1001)
    ]
    assert {row.steps for row in outcomes.rows} == {15}
    assert {row.epochs for row in outcomes.rows if row.kept == 38} == {5}
    assert all(0 <= row.test_accuracy <= 1 for row in outcomes.rows)


def test_the_random_baseline_draws_another_subset_for_every_seed(
    workdir: Path, outcomes: Outcomes
) -> None:
    folders = [
        path
        for path in (workdir / "runs").iterdir()
        if '"members": "' in (path / "inputs.json").read_text()
    ]
    members = {
        path.joinpath("inputs.json").read_text().split('"members": "')[1][:32] for path in folders
    }
    assert len(folders) == 4
    assert len(members) == 3  # one selection, two random subsets


def test_a_budget_of_epochs_takes_fewer_steps_for_fewer_rows(
    shapes: Dataset, selection: Selection, workdir: Path
) -> None:
    found = retrain(
        shapes, selection, runs=1, baseline=[], budget="epochs", jobs=1, workdir=workdir
    )
    assert [(row.steps, row.epochs) for row in found.rows] == [(9, 3)]


def test_retraining_other_data_is_refused(selection: Selection, workdir: Path) -> None:
    with pytest.raises(IdentityError, match="is not the data of selection 'selection'"):
        retrain(shapes_data(seed=3), selection, workdir=workdir)


def test_shuffled_data_is_refused_until_it_is_aligned(selection: Selection, workdir: Path) -> None:
    data = shapes_data()
    assert data.outside_test is not None
    order = np.random.default_rng(1).permutation(len(data))
    shuffled = from_arrays(
        data.images[order], data.labels[order], name="s", spec="s",
        test_images=data.outside_test.images, test_label=data.outside_test.label,
    )  # fmt: skip
    with pytest.raises(
        IdentityError, match=r"the same examples in another order.*`aligned_to` re-maps the rows"
    ):
        retrain(shuffled, selection, workdir=workdir)
    fitted, moved = aligned(shuffled, {"selection": selection})
    assert sorted(order[moved["selection"].index]) == selection.index.tolist()
    assert retrain(fitted, moved, runs=1, baseline=[], jobs=1, workdir=workdir).rows[0].kept == 38


def test_another_test_set_or_size_of_the_same_examples_is_refused(
    table: ScoreTable, selection: Selection
) -> None:
    data = shapes_data()
    assert data.outside_test is not None
    alone = from_arrays(data.images, data.labels, name="alone", spec="alone")
    other = from_arrays(
        data.images, data.labels, name="other", spec="other",
        test_images=data.outside_test.images[:9], test_label=data.outside_test.label[:9],
    )  # fmt: skip
    for given in (alone, other):
        with pytest.raises(IdentityError, match="the same examples, but"):
            score(given, "input_norm", table=table)
        with pytest.raises(IdentityError, match="the same examples, but"):
            retrain(given, selection)
    resized = replace(data, rows=replace(data.rows, options={"image_size": 4}))
    with pytest.raises(IdentityError, match="made otherwise: image_size=4 against image_size=None"):
        score(resized, "input_norm", table=table)


def test_aligning_onto_data_without_any_test_rows_is_refused(selection: Selection) -> None:
    data = shapes_data()
    alone = from_arrays(data.images, data.labels, name="alone", spec="alone")
    with pytest.raises(IdentityError, match="has no test set"):
        aligned(alone, {"selection": selection})


def test_another_method_later_trains_nothing_even_if_the_first_needed_no_minibatches(
    shapes: Dataset, tmp_path: Path
) -> None:
    first = score(shapes, "el2n", epoch=1, runs=1, config=TINY, workdir=tmp_path)
    heard = Listened()
    score(shapes, "aum,forgetting,grand", epoch=1, table=first, workdir=tmp_path, progress=heard)
    assert [step.what for step in heard.steps if step.what.startswith("network")] == []


def test_an_export_is_written_as_its_name_ends(selection: Selection, tmp_path: Path) -> None:
    prune_kit.export(selection, tmp_path / "keep.npy")
    assert np.load(tmp_path / "keep.npy").tolist() == selection.index.tolist()


def test_values_print_as_one_line(table: ScoreTable, selection: Selection, shapes: Dataset) -> None:
    for value in (table, selection, shapes, table.rows, table.columns["el2n@2"]):
        assert len(repr(value)) < 250
        assert "\n" not in repr(value)


def test_labels_of_the_file_are_used_again(tmp_path: Path) -> None:
    data = shapes_data()
    np.savez(tmp_path / "d.npz", x_train=data.images, y_train=data.labels)
    noisy = (data.labels + (np.arange(77) % 10 == 0)) % 3
    np.save(tmp_path / "noisy.npy", noisy)
    spec = f"npz:{tmp_path / 'd.npz'}"
    loaded = prune_kit.load_data(spec, labels=tmp_path / "noisy.npy")
    table = score(loaded, "random")
    assert np.array_equal(load_again(table.rows).labels, noisy)
    assert load_again(table.rows).fingerprint == table.rows.fingerprint
    assert loaded.true_labels is not None
    assert np.array_equal(loaded.true_labels, data.labels)
    assert np.array_equal(loaded.test.label, data.labels[loaded.rows.role == 1])


def test_indices_of_an_npz_without_a_test_part_are_rows_of_the_users_own_x_train(
    tmp_path: Path,
) -> None:
    data = shapes_data(count=100)
    np.savez(tmp_path / "mine.npz", x_train=data.images, y_train=data.labels)
    loaded = prune_kit.load_data(f"npz:{tmp_path / 'mine.npz'}")
    table = score(loaded, "input_norm")
    prune_kit.export(select(table, rule="top", keep=0.25), tmp_path / "keep.txt")
    rows = np.loadtxt(tmp_path / "keep.txt", dtype=int)
    x_train = np.load(tmp_path / "mine.npz")["x_train"]
    training = loaded.rows.training
    pixels = x_train[training].astype(float)
    pixels = (pixels - pixels.mean()) / pixels.std()
    hardest = training[
        np.argsort(-np.sqrt((pixels**2).sum(axis=(1, 2, 3))))[: round(0.25 * len(training))]
    ]
    assert sorted(hardest) == rows.tolist()


def test_the_public_names_are_the_verbs_and_the_values() -> None:
    for name in prune_kit.__all__:
        assert getattr(prune_kit, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        prune_kit.nonsense  # noqa: B018
    assert prune_kit.retrain is retrain
