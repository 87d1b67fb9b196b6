"""Difficulty: the run that watches for a training accuracy, and the count over runs that is made of
it."""

import copy
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from prune_kit import randomness
from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.errors import OptionError, RunError, TableError
from prune_kit.pipeline import score
from prune_kit.progress import Progress
from prune_kit.runs import recorder, state
from prune_kit.runs.cache import RecordedRun, Request, RunInputs, build_model, missing
from prune_kit.runs.executor import PlannedRuns, complete_runs
from prune_kit.runs.observers import Thresholds
from prune_kit.scorers import Runs, difficulty
from prune_kit.training import images, loop, optimizers, signals, threshold
from prune_kit.training.threads import using_threads
from tests.conftest import ONE_THREAD, TINY, shapes_data

LONG = TINY.changed({"epochs": 6, "learning_rate": 0.004})
HARD = 0.9  # reached in the third epoch of LONG
OUT_OF_REACH = 0.999


@pytest.fixture(scope="module")
def shapes() -> Dataset:
    """The small data with one image in it twice, under two labels, so that no network is ever right
    about all of it."""
    data = shapes_data()
    twin = int(np.flatnonzero(data.labels != data.labels[0])[0])
    images = data.images.copy()
    images[twin] = images[0]
    test = data.test
    return from_arrays(
        images,
        data.labels,
        name="torn",
        spec="torn",
        test_images=test.images,
        test_label=test.label,
    )


def run_of(data: Dataset, seed: int = 0, **changes: object) -> RunInputs:
    return replace(RunInputs(data, LONG, seed, ONE_THREAD), **changes)  # type: ignore[arg-type]


def watching(*thresholds: float, last: int = 0, **more: object) -> Request:
    return Request(last, minibatches=True, thresholds=frozenset(thresholds), **more)  # type: ignore[arg-type]


def record(run: RunInputs, request: Request, folder: Path) -> RecordedRun:
    recorder.complete(run, request, folder, lambda *_: None)
    assert missing(run, request, folder) == []
    return RecordedRun(run, folder / run.key)


def bits(run: RecordedRun, kind: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.folder.glob(f"{kind}-*")}


def stopped_at(run: RunInputs, steps: int) -> dict[str, np.ndarray]:
    """The clean pass of a plain training that simply ends after so many steps, as a shorter
    protocol would."""
    data, config = run.data, run.config
    pictures = images.on_device(data.images, *images.normalisation(data), torch.device("cpu"))
    labels, members = torch.from_numpy(data.labels), torch.from_numpy(run.rows)
    training = loop.Training(
        pictures, labels, members, config, run.seed, steps, run.epoch_steps, "fp32"
    )
    with using_threads(run.execution.threads):
        model = build_model(run).to(memory_format=torch.channels_last)
        optimizer = optimizers.optimizer_for(model, config)
        for epoch in range(1, training.epochs + 1):
            loop.train_epoch(model, optimizer, training, epoch)
        return signals.statistics(loop.evaluate(model, pictures, "fp32"), labels)


def accuracy_after(run: RunInputs, steps: int) -> float:
    return float(stopped_at(run, steps)["correct"][run.rows].mean())


@pytest.mark.parametrize("limit", [0.5, 0.7, HARD])
def test_the_recorded_pass_is_that_of_a_training_stopped_at_the_first_step_that_reaches_the_threshold(  # noqa: E501
    shapes: Dataset, runs_folder: Path, limit: float
) -> None:
    run = run_of(shapes)
    recorded = record(run, watching(limit), runs_folder)
    step, accuracy = recorded.reached(limit)
    assert step is not None
    expected = stopped_at(run, step)
    for name in signals.NAMES:
        np.testing.assert_array_equal(recorded.at_threshold(name, limit), expected[name])
    assert accuracy == expected["correct"].mean() >= limit  # the sample of 77 rows is all of them
    earlier = [number for number in threshold.checked_steps(run.total_steps) if number < step]
    assert all(accuracy_after(run, number) < limit for number in earlier)
    assert recorded.outcome()["epoch"] == -(-step // run.epoch_steps)


def test_dropout_batch_norm_and_all_generators_are_left_alone_while_the_accuracy_is_measured(
    shapes: Dataset, tmp_path: Path
) -> None:
    config = LONG.changed({"crop_padding": 1, "flip": True})
    run = run_of(shapes, config=config)
    pictures = images.on_device(shapes.images, *images.normalisation(shapes), torch.device("cpu"))
    labels, members = torch.from_numpy(shapes.labels), torch.from_numpy(run.rows)
    training = loop.Training(
        pictures, labels, members, config, 0, run.total_steps, run.epoch_steps, "fp32"
    )
    with randomness.seeded(0, "initialisation"):
        layers = (
            nn.Flatten(),
            nn.Linear(64, 8),
            nn.BatchNorm1d(8),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(8, 3),
        )
    plain = nn.Sequential(*layers)
    watched = copy.deepcopy(plain)
    thresholds = Thresholds(
        tmp_path,
        {0.4, OUT_OF_REACH},
        lambda: loop.accuracy(watched, pictures, labels, "fp32"),
        lambda: loop.evaluate(watched, pictures, "fp32"),
        labels,
        training.total_steps,
    )
    before = torch.get_rng_state()
    for model, after_step in ((plain, None), (watched, thresholds.after_step)):
        optimizer = optimizers.optimizer_for(model, config)
        for epoch in range(1, 5):
            loop.train_epoch(model, optimizer, training, epoch, after_step=after_step)
        assert all(module.training for module in model.modules())
    thresholds.after(4)
    assert thresholds.unreached == {OUT_OF_REACH}
    assert [path.name for path in tmp_path.iterdir()] == ["threshold-0.4.npz"]
    assert torch.equal(torch.get_rng_state(), before)
    for one, other in zip(plain.state_dict().values(), watched.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_nothing_else_of_a_run_changes_when_it_is_watched(shapes: Dataset, tmp_path: Path) -> None:
    everything = Request(
        4, minibatches=True, test=True, sweeps=frozenset({0, 3, 4}), weights=frozenset({4})
    )
    plain = record(run_of(shapes), everything, tmp_path / "a")
    watched = record(
        run_of(shapes), replace(everything, thresholds=frozenset({0.5, HARD})), tmp_path / "b"
    )
    for kind in ("minibatch", "sweep", "test", "weights", "probability"):
        assert bits(watched, kind) == bits(plain, kind) != {}
    assert watched.outcome()["epoch"] == plain.outcome()["epoch"] == 4


@pytest.mark.parametrize("limit", [HARD, OUT_OF_REACH])
@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_an_interrupted_run_finds_the_same_step_when_it_goes_on(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int, limit: float
) -> None:
    straight = record(run_of(shapes), watching(limit), tmp_path / "a")
    original, trained = loop.train_epoch, []

    def interrupted(
        model: object,
        optimizer: object,
        training: object,
        epoch: int,
        *rest: object,
        **more: object,
    ) -> int:
        if epoch == stop_at:
            raise KeyboardInterrupt
        return original(model, optimizer, training, epoch, *rest, **more)  # type: ignore[arg-type]

    def counted(
        model: object,
        optimizer: object,
        training: object,
        epoch: int,
        *rest: object,
        **more: object,
    ) -> int:
        trained.append(epoch)
        return original(model, optimizer, training, epoch, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(loop, "train_epoch", interrupted)
    monkeypatch.setattr(state, "STATE_SHARE", float("inf"))  # save after every epoch
    with pytest.raises(KeyboardInterrupt):
        record(run_of(shapes), watching(limit), tmp_path / "b")
    monkeypatch.setattr(loop, "train_epoch", counted)
    resumed = record(run_of(shapes), watching(limit), tmp_path / "b")
    for kind in ("threshold", "minibatch", "test"):
        assert bits(resumed, kind) == bits(straight, kind) != {}
    assert resumed.outcome()["epoch"] == straight.outcome()["epoch"]
    assert trained == list(range(stop_at, straight.outcome()["epoch"] + 1))  # no epoch twice


@pytest.mark.parametrize("kept", ["state.safetensors", "threshold-0.9.npz"])
def test_a_run_that_was_stopped_just_before_it_was_finished_ends_where_it_would_have(
    shapes: Dataset, runs_folder: Path, kept: str
) -> None:
    run = record(run_of(shapes), watching(HARD), runs_folder)
    before, ended = bits(run, "test"), run.outcome()["epoch"]
    for name in {"finished.json", "state.safetensors", *before} - {kept}:
        (run.folder / name).unlink()
    again = record(run_of(shapes), watching(HARD), runs_folder)
    assert bits(again, "test") == before
    assert again.outcome()["epoch"] == ended == 3


def test_a_run_that_was_not_watched_is_repeated_from_its_start(
    shapes: Dataset, tmp_path: Path
) -> None:
    straight = record(run_of(shapes), watching(0.5), tmp_path / "a")
    record(run_of(shapes), Request(4, minibatches=True), tmp_path / "b")
    later = record(run_of(shapes), watching(0.5), tmp_path / "b")
    assert bits(later, "threshold") == bits(straight, "threshold") != {}
    assert later.outcome()["epoch"] == 4


def test_a_later_epoch_goes_on_after_the_threshold(shapes: Dataset, tmp_path: Path) -> None:
    straight = record(run_of(shapes), Request(5, minibatches=True), tmp_path / "a")
    record(run_of(shapes), watching(0.5), tmp_path / "b")
    later = record(run_of(shapes), Request(5, minibatches=True), tmp_path / "b")
    assert bits(later, "minibatch") == bits(straight, "minibatch")


def test_training_stops_in_the_epoch_of_the_last_threshold(
    shapes: Dataset, runs_folder: Path
) -> None:
    recorded = record(run_of(shapes), watching(0.5, HARD), runs_folder)
    last = recorded.reached(HARD)[0]
    assert last is not None
    assert recorded.outcome()["epoch"] == -(-last // 5) < LONG.epochs


def test_a_run_that_never_gets_there_says_so_at_the_end_of_its_protocol(
    shapes: Dataset, runs_folder: Path
) -> None:
    recorded = record(run_of(shapes), watching(OUT_OF_REACH), runs_folder)
    step, accuracy = recorded.reached(OUT_OF_REACH)
    assert step is None
    assert accuracy == pytest.approx(accuracy_after(recorded.inputs, recorded.inputs.total_steps))
    assert recorded.at_threshold("correct", OUT_OF_REACH) is None
    assert recorded.outcome()["epoch"] == LONG.epochs
    with pytest.raises(RunError, match=r"seed 0 did not watch for a training accuracy of 0\.3"):
        recorded.reached(0.3)


def test_the_accuracy_is_measured_at_every_step_at_first_then_ever_less_often_and_at_the_last_one() -> (  # noqa: E501
    None
):
    steps = sorted(threshold.checked_steps(78_000))
    assert steps[:15] == [*range(1, 16)]
    assert steps[-1] == 78_000
    assert all(later - one <= max(1, one // 10) for one, later in pairwise(steps))
    for stop, batch in ((800, 128), (5000, 128), (50_000, 64)):
        checks = sum(step <= stop for step in steps)
        assert (
            checks * threshold.SAMPLE < 0.2 * stop * batch * 3
        )  # a step is a pass forward and two more backward


def test_larger_data_are_judged_by_a_fixed_sample(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(threshold, "SAMPLE", 20)
    run = run_of(shapes_data())
    _, accuracy = record(run, watching(0.5), tmp_path / "a").reached(0.5)
    assert (accuracy * 20) % 1 == pytest.approx(0, abs=1e-9)
    assert record(run, watching(0.5), tmp_path / "b").reached(0.5)[1] == accuracy


def test_the_score_counts_the_runs_that_are_wrong(shapes: Dataset, tmp_path: Path) -> None:
    table = score(shapes, "difficulty", runs=3, config=LONG, jobs=1, workdir=tmp_path)
    column = table.columns["difficulty"]
    here = replace(ONE_THREAD, threads=column.parameters["threads"])
    inputs = [run_of(shapes, seed, execution=here) for seed in range(3)]
    runs = [RecordedRun(run, tmp_path / "runs" / run.key) for run in inputs]
    for run in runs:
        step, _ = run.reached(0.5)
        assert step is not None and step <= 40
    expected = sum(
        stopped_at(run.inputs, int(run.reached(0.5)[0] or 0))["correct"] == 0 for run in runs
    )
    assert column.values.tolist() == np.asarray(expected).tolist()
    assert (column.harder, column.seeds) == ("higher", (0, 1, 2))
    assert column.extras["per_run"].sum(axis=0).tolist() == column.values.tolist()
    assert column.parameters["threshold"] == 0.5
    assert column.parameters["threshold_steps"] == [run.reached(0.5)[0] for run in runs]


def test_one_run_that_never_gets_there_makes_the_count_unknown_and_is_named(
    shapes: Dataset, tmp_path: Path
) -> None:
    lower = [
        record(run_of(shapes, seed), watching(HARD), tmp_path).reached(HARD)[0] for seed in (0, 1)
    ]
    assert None not in lower
    slow = run_of(shapes, 2, config=LONG.changed({"learning_rate": 1e-6}))
    request = watching(HARD)
    recorded = complete_runs(
        PlannedRuns.of([run_of(shapes, 0), run_of(shapes, 1), slow], [request] * 3, tmp_path)
    ).runs
    said: list[Progress] = []
    runs = Runs(recorded, 0, ONE_THREAD, progress=said.append)
    per_run = difficulty.score(shapes, runs, threshold=HARD)
    assert np.isnan(per_run).all(axis=1).tolist() == [False, False, True]
    assert np.isnan(per_run.sum(axis=0)).all()
    assert [(event.what, "never was 0.9" in event.note) for event in said] == [
        ("difficulty, seed 2", True)
    ]
    assert difficulty.provenance(runs, threshold=HARD)["threshold_steps"] == [*lower, None]


def test_a_threshold_that_is_no_accuracy_or_not_the_tables_is_refused(
    shapes: Dataset, tmp_path: Path
) -> None:
    for wrong in (0.0, -1.0, 1.1, float("nan")):
        with pytest.raises(OptionError, match="threshold="):
            score(shapes, "difficulty", runs=1, config=LONG, workdir=tmp_path, threshold=wrong)
    with pytest.raises(OptionError, match="`threshold` is for method='difficulty'"):
        score(shapes, "el2n", runs=1, config=LONG, workdir=tmp_path, threshold=0.5)
    table = score(shapes, "difficulty", runs=1, config=LONG, workdir=tmp_path)
    with pytest.raises(TableError, match=r"threshold 0\.7 \(the table has 0\.5\)"):
        score(
            shapes, "difficulty", runs=1, config=LONG, workdir=tmp_path, threshold=0.7, table=table
        )
