"""Consistency, consensus and learning speed against loops over the labels that the recorded
networks really give."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from prune_kit.data.dataset import Dataset
from prune_kit.data.identity import TRAIN
from prune_kit.pipeline import score
from prune_kit.results.table import ScoreTable
from prune_kit.runs.cache import RecordedRun, Request, RunInputs
from prune_kit.runs.recorder import complete
from prune_kit.scorers.consensus import largest_share
from prune_kit.training.images import normalisation
from tests.conftest import ONE_THREAD, TINY, shapes_data

METHODS = "consistency,consensus,learning_speed"
EPOCHS = (1, 2, 3)
SLOW = TINY.changed({"learning_rate": 0.004})  # so that the networks do not agree yet
RUNS = 3


@pytest.fixture(scope="module")
def scored(shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> tuple[ScoreTable, Path]:
    folder = tmp_path_factory.mktemp("work")
    return score(
        shapes, METHODS, epoch=EPOCHS, runs=RUNS, config=SLOW, jobs=2, workdir=folder
    ), folder


@pytest.fixture(scope="module")
def given_labels(
    shapes: Dataset, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[int, np.ndarray]]:
    """For the training and the test images, by epoch: the label (R, N) that each network gives each
    image."""
    folder = tmp_path_factory.mktemp("weights")
    mean, deviation = normalisation(shapes)
    pictures = {"train": shapes.images, "test": shapes.test.images}
    found: dict[str, dict[int, np.ndarray]] = {"train": {}, "test": {}}
    networks = []
    for seed in range(RUNS):
        inputs = RunInputs(shapes, SLOW, seed, ONE_THREAD)
        complete(inputs, Request(3, weights=frozenset(EPOCHS)), folder, lambda *_: None)
        networks.append(RecordedRun(inputs, folder / inputs.key))
    for part, images in pictures.items():
        inputs_of = torch.from_numpy(((images - mean) / deviation).transpose(0, 3, 1, 2)).float()
        for epoch in EPOCHS:
            with torch.no_grad():
                outputs = [network.model(epoch).eval()(inputs_of) for network in networks]
            found[part][epoch] = np.stack([output.argmax(1).numpy() for output in outputs])
    return found


def test_consistency_is_the_share_of_networks_that_are_right(
    shapes: Dataset, scored: tuple[ScoreTable, Path], given_labels: dict[str, dict[int, np.ndarray]]
) -> None:
    for epoch in EPOCHS:
        column = scored[0].columns[f"consistency@{epoch}"]
        for found, part, labels in (
            (column.values, "train", shapes.labels),
            (column.test["scores"], "test", shapes.test.label),
        ):
            given_now = given_labels[part][epoch]
            expected = [
                sum(given_now[r, i] == label for r in range(RUNS)) / RUNS
                for i, label in enumerate(labels)
            ]
            np.testing.assert_allclose(found, expected, rtol=1e-6)
            assert 0 < np.std(found)
        accuracies = (given_labels["train"][epoch] == shapes.labels).mean(axis=1)
        assert column.values.mean() == pytest.approx(accuracies.mean())
        assert column.extras["per_run"].mean(axis=1).tolist() == pytest.approx(accuracies.tolist())


def test_consensus_is_the_largest_share_of_networks_that_agree_and_has_no_values_per_run(
    scored: tuple[ScoreTable, Path], given_labels: dict[str, dict[int, np.ndarray]]
) -> None:
    for epoch in EPOCHS:
        column = scored[0].columns[f"consensus@{epoch}"]
        for found, part in ((column.values, "train"), (column.test["scores"], "test")):
            expected = [
                Counter(votes).most_common(1)[0][1] / RUNS
                for votes in given_labels[part][epoch].T.tolist()
            ]
            np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert "per_run" not in column.extras
        assert "per_run" not in column.test
        assert column.seeds == (0, 1, 2)


def test_learning_speed_is_the_mean_consistency_over_the_epochs(
    scored: tuple[ScoreTable, Path],
) -> None:
    columns = scored[0].columns
    for last in EPOCHS:
        consistency = [columns[f"consistency@{epoch}"] for epoch in range(1, last + 1)]
        speed = columns[f"learning_speed@{last}"]
        np.testing.assert_allclose(
            speed.values, np.mean([c.values for c in consistency], axis=0), rtol=1e-5
        )
        np.testing.assert_allclose(
            speed.test["scores"],
            np.mean([c.test["scores"] for c in consistency], axis=0),
            rtol=1e-5,
        )
        assert speed.extras["per_run"].shape == (RUNS, len(speed.values))


def test_the_scores_of_the_test_examples_survive_the_file(
    scored: tuple[ScoreTable, Path], shapes: Dataset
) -> None:
    table, folder = scored
    table.write(folder / "scores.h5")
    again = ScoreTable.read(folder / "scores.h5")
    assert again.test_rows is not None
    assert again.test_rows.fingerprint == shapes.test.fingerprint
    for name, column in table.columns.items():
        assert again.columns[name].harder == "lower"
        assert again.columns[name].test.keys() == column.test.keys()
        for kind, values in column.test.items():
            np.testing.assert_array_equal(again.columns[name].test[kind], values)


def test_a_source_without_a_test_set_has_the_held_out_rows_as_test_examples(tmp_path: Path) -> None:
    data = shapes_data(90)
    rows = data.rows
    role = np.where(np.arange(90) % 5 == 0, 1, 0).astype(np.uint8)
    held = type(data)(
        data.name, data.images, type(rows)(**{**vars(rows), "role": role, "test_fingerprint": ""})
    )
    table = score(held, "consistency", epoch=1, runs=1, config=SLOW, workdir=tmp_path)
    column = table.columns["consistency@1"]
    assert np.isnan(column.values).tolist() == (role != TRAIN).tolist()
    assert len(column.test["scores"]) == (role != TRAIN).sum()
    assert table.test_rows is not None
    assert table.test_rows.id.tolist() == rows.id[role != TRAIN].tolist()


@given(
    arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 6)), elements=st.integers(0, 4))
)
def test_the_largest_share_equals_a_count_of_every_label(predicted: np.ndarray) -> None:
    found = largest_share(predicted)
    for column, share in zip(predicted.T.tolist(), found, strict=True):
        assert share == max(column.count(label) for label in column) / len(column)
