"""Retraining with removals: without the rows on the list, and under the labels that the list
suggests."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.data.spec import load_data
from prune_kit.errors import IdentityError, OptionError
from prune_kit.pipeline import retrain
from prune_kit.progress import Progress
from prune_kit.protocol.config import TrainConfig
from prune_kit.results.outcomes import Outcomes
from prune_kit.results.reloading import aligned
from prune_kit.results.removal import Removal
from prune_kit.results.selection import DROPPED_EASY, HELD_OUT_REASON, KEPT
from prune_kit.retraining.groups import relabelled_data
from prune_kit.training.images import normalisation
from tests.small_tables import removal_of, selection_of

QUICK = TrainConfig(model="mlp", epochs=2, batch_size=32, learning_rate=0.05, schedule="constant")
WRONG = 24


@pytest.fixture(scope="module")
def clean_data() -> Dataset:
    """200 digits, of which a fifth is held out as test."""
    digits = load_data("digits")
    return from_arrays(digits.images[:200], digits.labels[:200], name="some", spec="some")


@pytest.fixture(scope="module")
def noisy(clean_data: Dataset) -> Dataset:
    """The same under labels of which 24 training rows' and 3 held-out rows' are wrong."""
    label = clean_data.labels.copy()
    wrong = np.concatenate(
        [clean_data.rows.training[::6][:WRONG], np.flatnonzero(clean_data.rows.role)[:3]]
    )
    label[wrong] = (label[wrong] + 1) % 10
    return clean_data.relabelled(label, "noisy.npy")


@pytest.fixture(scope="module")
def removal(noisy: Dataset) -> Removal:
    """All wrong training rows, with the right labels suggested, in no order of rows."""
    assert noisy.true_labels is not None
    training = noisy.rows.training
    wrong = training[noisy.labels[training] != noisy.true_labels[training]][::-1]
    assert len(wrong) == WRONG
    return removal_of(wrong, noisy.true_labels[wrong], rows=noisy.rows)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def trained(
    noisy: Dataset, removal: Removal, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Outcomes, Path]:
    """The outcomes with relabelling, in a run cache in which nothing else is."""
    alone = tmp_path_factory.mktemp("alone")
    return retrain(noisy, removal, runs=2, relabel=True, config=QUICK, jobs=1, workdir=alone), alone


@pytest.fixture(scope="module")
def outcomes(trained: tuple[Outcomes, Path], workdir: Path) -> Outcomes:
    """The same, with the cache from which the other tests go on."""
    shutil.copytree(trained[1], workdir, dirs_exist_ok=True)
    return trained[0]


def test_a_removal_is_compared_with_the_noisy_data_random_rows_and_its_own_labels(
    noisy: Dataset, outcomes: Outcomes
) -> None:
    count = len(noisy.rows.training)
    left = count - WRONG
    assert [(row.selection, row.seed, row.kept) for row in outcomes.rows] == [
        (name, seed, kept)
        for name, kept in (
            ("full", count),
            ("removal", left),
            (f"random-{left}", left),
            ("removal-relabelled", count),
        )
        for seed in (1000, 1001)
    ]
    assert len({row.steps for row in outcomes.rows}) == 1


def test_differences_are_taken_from_the_noisy_baseline(outcomes: Outcomes) -> None:
    relabelled = next(line for line in outcomes.summaries() if line.name == "removal-relabelled")
    assert relabelled.minus_full is not None
    assert relabelled.minus_random is None


def test_other_labels_are_other_runs_but_the_same_test(
    noisy: Dataset, trained: tuple[Outcomes, Path]
) -> None:
    inputs = [
        json.loads(path.read_text()) for path in sorted(trained[1].glob("runs/*/inputs.json"))
    ]
    assert len(inputs) == 8
    assert [run["fingerprint"] for run in inputs].count(noisy.fingerprint) == 6
    assert {run["test_fingerprint"] for run in inputs} == {noisy.test.fingerprint}
    assert [run["members"] for run in inputs if run["fingerprint"] != noisy.fingerprint] == [
        None,
        None,
    ]


def test_with_the_right_labels_suggested_it_is_the_training_on_clean_data(
    clean_data: Dataset, outcomes: Outcomes, workdir: Path
) -> None:
    """The held-out rows stay wrong in the noisy labels, so the fingerprint is another.

    What is trained is the same.
    """
    everything = selection_of(
        np.where(clean_data.rows.role, HELD_OUT_REASON, KEPT), rows=clean_data.rows
    )
    clean = retrain(clean_data, everything, runs=2, config=QUICK, jobs=1, workdir=workdir)
    assert clean.accuracies("full") == outcomes.accuracies("removal-relabelled")
    assert clean.accuracies("full") != outcomes.accuracies("full")


def test_the_test_labels_and_the_normalisation_stay(
    clean_data: Dataset, noisy: Dataset, removal: Removal
) -> None:
    plain = replace(
        noisy, rows=replace(noisy.rows, true_label=None)
    )  # nobody knows that labels are wrong
    for data in (noisy, plain):
        changed = relabelled_data(data, {"a": replace(removal, rows=data.rows)})["a-relabelled"]
        np.testing.assert_array_equal(changed.test.label, data.test.label)
        assert changed.test.fingerprint == data.test.fingerprint
        assert (changed.labels != data.labels).sum() == WRONG
        np.testing.assert_array_equal(changed.rows.role, data.rows.role)
        for before, after in zip(normalisation(data), normalisation(changed), strict=True):
            np.testing.assert_array_equal(before, after)
    np.testing.assert_array_equal(noisy.test.label, clean_data.labels[noisy.rows.role == 1])


def test_selections_and_removals_are_compared_side_by_side(
    noisy: Dataset, removal: Removal, workdir: Path
) -> None:
    reason = np.where(noisy.rows.role, HELD_OUT_REASON, KEPT)
    reason[noisy.rows.training[:80]] = DROPPED_EASY
    named = {
        "half": selection_of(reason, rows=noisy.rows),
        "b": removal,
        "c": replace(removal, column="other"),
    }
    found = retrain(
        noisy,
        named,
        runs=1,
        baseline=[],
        relabel=True,
        config=QUICK,
        jobs=1,
        budget="epochs",
        workdir=workdir,
    )
    assert [row.selection for row in found.rows] == [
        "half",
        "b",
        "c",
        "b-relabelled",
        "c-relabelled",
    ]
    assert {row.epochs for row in found.rows} == {2}


def test_without_relabel_nothing_is_relabelled_and_nothing_trained_twice(
    noisy: Dataset, removal: Removal, outcomes: Outcomes, workdir: Path
) -> None:
    heard: list[Progress] = []
    found = retrain(
        noisy,
        {"mine": removal},
        runs=2,
        config=QUICK,
        jobs=1,
        workdir=workdir,
        progress=heard.append,
    )
    assert heard == []
    assert {row.selection for row in found.rows} == {
        "full",
        "mine",
        f"random-{len(noisy.rows.training) - WRONG}",
    }
    assert found.accuracies("mine") == outcomes.accuracies("removal")


def test_an_empty_list_is_the_full_data(noisy: Dataset, outcomes: Outcomes, workdir: Path) -> None:
    empty = removal_of([], [], rows=noisy.rows)
    found = retrain(noisy, empty, runs=2, config=QUICK, jobs=1, workdir=workdir)
    assert [row.selection for row in found.rows] == ["full", "full", "removal", "removal"]
    assert found.accuracies("removal") == outcomes.accuracies("full")


def test_a_removal_is_aligned_to_shuffled_data(
    clean_data: Dataset, removal: Removal, outcomes: Outcomes, workdir: Path
) -> None:
    """Over held-out rows that are the same, in data whose own order and labels are others."""
    order = np.random.default_rng(1).permutation(len(clean_data))
    shuffled = from_arrays(clean_data.images[order], clean_data.labels[order], name="s", spec="s")
    with pytest.raises(
        IdentityError, match=r"removal 'removal': the same examples in another order.*aligned_to"
    ):
        retrain(shuffled, removal, config=QUICK, workdir=workdir)
    fitted, moved = aligned(shuffled, {"removal": removal})
    assert order[moved["removal"].index].tolist() == removal.index.tolist()
    found = retrain(fitted, moved, runs=1, relabel=True, config=QUICK, jobs=1, workdir=workdir)
    assert [(row.selection, row.kept) for row in found.rows] == [
        (row.selection, row.kept) for row in outcomes.rows if row.seed == 1000
    ]
    assert sorted(fitted.test.label) == sorted(clean_data.labels[clean_data.rows.role == 1])


# what is refused


def test_relabelling_asks_for_a_removal_with_a_clear_suggestion(
    noisy: Dataset, removal: Removal
) -> None:
    everything = selection_of(np.where(noisy.rows.role, HELD_OUT_REASON, KEPT), rows=noisy.rows)
    with pytest.raises(
        OptionError, match=r"`relabel` requires a removal, .* given are selections: a, b"
    ):
        retrain(noisy, {"a": everything, "b": everything}, relabel=True, config=QUICK)
    unclear = replace(removal, clear=np.zeros(WRONG, dtype=bool))
    with pytest.raises(
        OptionError, match=r"removal 'unclear' has no clear suggestion among its 24 rows"
    ):
        retrain(noisy, {"fine": removal, "unclear": unclear}, relabel=True, config=QUICK)
    with pytest.raises(OptionError, match="'a-relabelled' has the name of what `relabel` trains"):
        retrain(noisy, {"a": removal, "a-relabelled": everything}, relabel=True, config=QUICK)


def test_a_removal_of_everything_leaves_nothing_to_train_on(noisy: Dataset) -> None:
    training = noisy.rows.training
    everything = removal_of(training, (noisy.labels[training] + 1) % 10, rows=noisy.rows)
    with pytest.raises(
        OptionError, match=f"'removal' leaves none of {len(training)} training rows"
    ):
        retrain(noisy, everything, config=QUICK)


def test_a_removal_of_other_data_is_refused(clean_data: Dataset, removal: Removal) -> None:
    with pytest.raises(
        IdentityError, match=r"is not the data of removal 'removal': .* 27 of 200 are relabelled"
    ):
        retrain(clean_data, removal, config=QUICK)
