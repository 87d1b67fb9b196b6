import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from prune_kit.data.dataset import Dataset
from prune_kit.errors import FileError, RunError
from prune_kit.progress import note
from prune_kit.runs import recorder, state
from prune_kit.runs.cache import RecordedRun, Request, RunInputs, missing
from prune_kit.runs.executor import PlannedRuns, complete_runs
from prune_kit.training import images, loop
from tests.conftest import ONE_THREAD, TINY, shapes_data

EVERYTHING = Request(
    3, minibatches=True, test=True, sweeps=frozenset({0, 2, 3}), weights=frozenset({2, 3})
)
CONTENT = {
    "minibatch": ".npz",
    "sweep": ".npz",
    "test": ".npz",
    "weights": ".safetensors",
    "probability": ".npy",
}


def run_of(data: Dataset, seed: int = 0, **changes: object) -> RunInputs:
    return replace(RunInputs(data, TINY, seed, ONE_THREAD), **changes)  # type: ignore[arg-type]


def record(run: RunInputs, request: Request, folder: Path) -> RecordedRun:
    recorder.complete(run, request, folder, lambda *_: None)
    return RecordedRun(run, folder / run.key)


def contents(run: RecordedRun) -> dict[str, bytes]:
    """Every file whose bytes the inputs determine."""
    return {
        p.name: p.read_bytes() for p in run.folder.iterdir() if p.name.partition("-")[0] in CONTENT
    }


def count_epochs(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    trained: list[int] = []
    original = loop.train_epoch

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

    monkeypatch.setattr(loop, "train_epoch", counted)
    return trained


def test_the_same_seed_gives_the_same_bits_and_another_does_not(
    shapes: Dataset, tmp_path: Path
) -> None:
    first = contents(record(run_of(shapes), EVERYTHING, tmp_path / "a"))
    again = contents(record(run_of(shapes_data()), EVERYTHING, tmp_path / "b"))
    other = contents(record(run_of(shapes, seed=1), EVERYTHING, tmp_path / "c"))
    assert first == again
    assert first.keys() == other.keys()
    assert all(first[name] != other[name] for name in first)


def test_a_finished_run_is_never_trained_twice(
    shapes: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(run_of(shapes), EVERYTHING, runs_folder)
    trained = count_epochs(monkeypatch)
    record(run_of(shapes), EVERYTHING, runs_folder)
    record(run_of(shapes), Request(2, minibatches=True), runs_folder)
    assert trained == []


def test_a_later_epoch_goes_on_and_ends_with_the_bits_of_an_uninterrupted_run(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = contents(record(run_of(shapes), EVERYTHING, tmp_path / "a"))
    record(run_of(shapes), Request(1, minibatches=True, sweeps=frozenset({0})), tmp_path / "b")
    trained = count_epochs(monkeypatch)
    continued = contents(record(run_of(shapes), EVERYTHING, tmp_path / "b"))
    assert trained == [2, 3]
    assert all(continued[name] == content for name, content in straight.items())


def test_an_earlier_epoch_that_was_not_observed_is_repeated_to_the_same_bits(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    straight = contents(record(run_of(shapes), EVERYTHING, tmp_path / "a"))
    record(run_of(shapes), Request(3, minibatches=True), tmp_path / "b")
    trained = count_epochs(monkeypatch)
    repeated = record(
        run_of(shapes), Request(2, sweeps=frozenset({2}), weights=frozenset({2})), tmp_path / "b"
    )
    assert trained == [1, 2]
    assert contents(repeated)["sweep-0002.npz"] == straight["sweep-0002.npz"]
    assert repeated.outcome()["epoch"] == 3


def test_weights_asked_for_at_the_last_epoch_of_a_stopped_run_cost_no_training(
    shapes: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record(run_of(shapes), Request(2, minibatches=True), runs_folder)
    trained = count_epochs(monkeypatch)
    record(run_of(shapes), Request(2, sweeps=frozenset({2}), weights=frozenset({2})), runs_folder)
    assert trained == []


@pytest.mark.parametrize(
    "share", [float("inf"), 1e-12], ids=["saved after every epoch", "saved when interrupted"]
)
@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_an_interrupted_run_goes_on_at_its_last_epoch(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_at: int, share: float
) -> None:
    straight = contents(record(run_of(shapes), EVERYTHING, tmp_path / "a"))
    original = loop.train_epoch

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

    monkeypatch.setattr(loop, "train_epoch", interrupted)
    monkeypatch.setattr(state, "STATE_SHARE", share)
    with pytest.raises(KeyboardInterrupt):
        record(run_of(shapes), EVERYTHING, tmp_path / "b")
    assert not (tmp_path / "b" / run_of(shapes).key / "finished.json").exists()
    monkeypatch.setattr(loop, "train_epoch", original)
    trained = count_epochs(monkeypatch)
    told: list[str] = []
    recorder.complete(
        run_of(shapes), EVERYTHING, tmp_path / "b", lambda epoch, epochs, note: told.append(note)
    )
    assert contents(RecordedRun(run_of(shapes), tmp_path / "b" / run_of(shapes).key)) == straight
    assert trained == list(range(stop_at, 4))
    assert told[-1].endswith(f" s, went on after epoch {stop_at - 1}" if stop_at > 1 else " s")


def test_several_processes_give_the_bits_of_one(shapes: Dataset, tmp_path: Path) -> None:
    request = Request(1, minibatches=True, test=True, sweeps=frozenset({1}))
    events: list[object] = []
    alone = complete_runs(
        PlannedRuns.of([run_of(shapes, s) for s in range(3)], [request] * 3, tmp_path / "a")
    )
    two = replace(ONE_THREAD, jobs=2)
    several = complete_runs(
        PlannedRuns.of(
            [run_of(shapes, s, execution=two) for s in range(3)], [request] * 3, tmp_path / "b"
        ),
        events.append,
    )
    assert (alone.trained, several.trained) == (3, 3)
    assert [contents(run) for run in alone.runs] == [contents(run) for run in several.runs]
    assert events[0] == note("runs on", "cpu in fp32: 2 networks at once, 1 thread each")
    assert {(e.what, e.done, e.total) for e in events[1:]} == {  # type: ignore[attr-defined]
        (f"network {s + 1} of 3 (seed {s})", 1, 1) for s in range(3)
    }


def test_processes_that_are_used_again_write_where_the_user_is_now(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = replace(ONE_THREAD, jobs=2)
    for name in ("here", "there"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        runs = [run_of(shapes, s, execution=two) for s in range(2)]
        done = complete_runs(
            PlannedRuns.of(runs, [Request(1, sweeps=frozenset({1}))] * 2, Path("runs"))
        )
        assert all(
            (tmp_path / name / "runs" / run.key / "sweep-0001.npz").is_file() for run in runs
        )
        assert all(len(run.sweep("l2_error", 1)) == len(shapes) for run in done.runs)


def test_an_error_in_another_process_arrives_as_itself(shapes: Dataset, runs_folder: Path) -> None:
    wild = TINY.changed({"learning_rate": 1e5, "model": "mlp"})
    runs = [run_of(shapes, s, config=wild, execution=replace(ONE_THREAD, jobs=2)) for s in range(2)]
    with pytest.raises(RunError, match="diverged: seed"):
        complete_runs(PlannedRuns.of(runs, [Request(3)] * 2, runs_folder))


def test_a_training_that_does_not_fit_into_memory_is_told_with_a_remedy(
    shapes: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise MemoryError

    monkeypatch.setattr(loop, "train_epoch", full)
    with pytest.raises(
        RunError,
        match=r"ran out of memory: seed 0, epoch 1, convnet in batches of 16\. .*batch_size=8",
    ):
        record(run_of(shapes), EVERYTHING, runs_folder)


def test_streamed_images_make_the_same_run_to_the_last_bit(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    augmented = run_of(shapes, config=TINY.changed({"crop_padding": 1, "flip": True}))
    resident = contents(record(augmented, EVERYTHING, tmp_path / "a"))
    monkeypatch.setattr(images, "ROOM", 0)
    assert contents(record(augmented, EVERYTHING, tmp_path / "b")) == resident


def test_the_key_depends_on_every_input(shapes: Dataset) -> None:
    rows = shapes.rows.training
    variants = [
        run_of(shapes),
        run_of(shapes, seed=1),
        run_of(shapes, config=TINY.changed({"learning_rate": 0.06})),
        run_of(shapes, config=TINY.changed({"flip": True})),
        run_of(shapes, members=rows[:40]),
        run_of(shapes, members=rows[1:41]),
        run_of(shapes, members=rows[:40], schedule_rows=40),
        run_of(shapes, execution=replace(ONE_THREAD, threads=2)),
        run_of(shapes, execution=replace(ONE_THREAD, precision="bf16")),
        run_of(shapes.relabelled((shapes.labels + 1) % 3, "other")),
        run_of(shapes_data(seed=1)),
        run_of(replace(shapes, preparation="resized")),
    ]
    assert len({run.key for run in variants}) == len(variants)
    assert run_of(shapes).key == run_of(shapes_data()).key
    assert run_of(shapes).key == run_of(shapes, execution=replace(ONE_THREAD, jobs=4)).key
    assert run_of(shapes, members=rows[:40]).key == run_of(shapes, members=rows[:40][::-1]).key


def test_inputs_are_on_the_disk_in_readable_form(shapes: Dataset, runs_folder: Path) -> None:
    run = record(run_of(shapes), Request(1), runs_folder)
    assert json.loads((run.folder / "inputs.json").read_text()) == json.loads(
        json.dumps(run.inputs.describe())
    )
    assert run.folder.name == run.inputs.key


def test_rows_outside_the_members_are_not_observed_in_minibatches_but_swept(
    shapes: Dataset, runs_folder: Path
) -> None:
    members = shapes.rows.training[::2]
    request = Request(2, minibatches=True, sweeps=frozenset({2}))
    run = record(run_of(shapes, members=members), request, runs_folder)
    outside = np.setdiff1d(np.arange(len(shapes)), members)
    p_label = run.minibatches("p_label", 2)
    assert np.isnan(p_label[:, outside]).all()
    assert not np.isnan(p_label[:, members]).any()
    assert not np.isnan(run.sweep("p_label", 2)).any()


def test_equal_steps_make_a_subset_train_more_epochs(shapes: Dataset) -> None:
    full, subset = run_of(shapes), run_of(shapes, members=shapes.rows.training[:32])
    assert (full.epoch_steps, full.total_steps, full.epochs) == (5, 15, 3)
    assert (subset.total_steps, subset.member_epoch_steps, subset.epochs) == (15, 2, 8)
    own = run_of(shapes, members=shapes.rows.training[:32], schedule_rows=32)
    assert (own.total_steps, own.epochs) == (6, 3)


def test_drop_last_leaves_rows_unobserved_for_an_epoch(shapes: Dataset, runs_folder: Path) -> None:
    run = record(
        run_of(shapes, config=TINY.changed({"drop_last": True})),
        Request(3, minibatches=True),
        runs_folder,
    )
    observed = ~np.isnan(run.minibatches("p_label", 3))
    assert observed.sum(axis=1).tolist() == [64, 64, 64]
    probability = run.probability(3)
    assert probability is not None
    assert np.isnan(probability).all(axis=1).tolist() == (~observed.any(axis=0)).tolist()


def test_the_averaged_probabilities_agree_with_the_averaged_signal(
    shapes: Dataset, runs_folder: Path
) -> None:
    run = record(run_of(shapes), EVERYTHING, runs_folder)
    probability = run.probability(3)
    assert probability is not None
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-5)
    expected = run.minibatches("p_label", 3).mean(axis=0)
    np.testing.assert_allclose(
        probability[np.arange(len(shapes)), shapes.labels], expected, rtol=1e-5
    )


def test_epoch_zero_is_the_untrained_network(shapes: Dataset, runs_folder: Path) -> None:
    run = record(
        run_of(shapes), Request(0, sweeps=frozenset({0}), weights=frozenset({0})), runs_folder
    )
    assert missing(run.inputs, Request(0, sweeps=frozenset({0})), runs_folder) == []
    assert run.outcome()["steps"] == 0


def test_reading_what_was_not_recorded_says_so(shapes: Dataset, runs_folder: Path) -> None:
    run = record(run_of(shapes), Request(1), runs_folder)
    with pytest.raises(RunError, match="seed 0 recorded no sweep signals at epoch 1"):
        run.sweep("l2_error", 1)
    with pytest.raises(RunError, match="kept no weights of epoch 1"):
        run.model(1)


def test_several_arrays_are_kept_under_one_name_and_an_older_file_lacks_the_others(
    shapes: Dataset, runs_folder: Path
) -> None:
    run = record(run_of(shapes), Request(1), runs_folder)
    values, words = np.arange(3.0), np.array("in words")
    assert run.once("both", lambda _: {"values": values, "how": words}).tolist() == [0, 1, 2]
    assert run.once("both", lambda _: values + 1).tolist() == [0, 1, 2]
    assert str(run.beside("both", "how")) == "in words"
    assert run.once("one", lambda _: values).tolist() == [0, 1, 2]
    assert run.beside("one", "how") is None


def test_a_damaged_state_is_refused_by_name(shapes: Dataset, runs_folder: Path) -> None:
    run = record(run_of(shapes), Request(1), runs_folder)
    (run.folder / "state.safetensors").write_bytes(b"rubbish")
    with pytest.raises(FileError, match=r"state\.safetensors is damaged"):
        record(run_of(shapes), Request(2, test=True), runs_folder)


@pytest.mark.parametrize(
    "name", ["state.safetensors", "weights-0002.safetensors", "probability-0002.npy"]
)
def test_a_flipped_bit_in_what_was_kept_is_noticed(
    name: str, shapes: Dataset, runs_folder: Path
) -> None:
    run = record(run_of(shapes), Request(2, minibatches=True, weights=frozenset({2})), runs_folder)
    path = run.folder / name
    content = bytearray(path.read_bytes())
    content[-400 if name.endswith(".npy") else -3] ^= 1  # in the last of the numbers
    path.write_bytes(content)
    with pytest.raises(FileError, match=rf"{name} is damaged.*its checksum does not hold"):
        run.probability(2)
        run.model(2)
        record(run_of(shapes), Request(3, test=True), runs_folder)


def test_files_that_say_nothing_of_a_checksum_are_read(shapes: Dataset, runs_folder: Path) -> None:
    run = record(run_of(shapes), Request(2, minibatches=True, weights=frozenset({2})), runs_folder)
    probability, model = run.probability(2), run.model(2)
    assert probability is not None
    np.save(run.folder / "probability-0002.npy", probability)
    save_file(model.state_dict(), run.folder / "weights-0002.safetensors")
    np.testing.assert_array_equal(run.probability(2), probability)
    assert all(
        torch.equal(value, model.state_dict()[name])
        for name, value in run.model(2).state_dict().items()
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"epoch": 2', "Expecting ',' delimiter"),
        ("[2]", "it holds no JSON object"),
        (
            '{"epoch": 2, "steps": 8, "seconds": "1"}',
            "it lacks some of epoch, steps, seconds, test_accuracy",
        ),
    ],
)
def test_a_run_whose_outcome_is_damaged_is_refused_by_name(
    content: str, told: str, shapes: Dataset, runs_folder: Path
) -> None:
    run = record(run_of(shapes), Request(1), runs_folder)
    path = run.folder / "finished.json"
    path.write_text(path.read_text().replace('"epoch": 1', '"epoch": 2'))
    with pytest.raises(
        FileError, match=r"finished\.json is damaged: its checksum does not hold\. Remove that file"
    ):
        run.outcome()
    path.write_text(content)
    with pytest.raises(FileError, match=rf"finished\.json.*{told}.*Remove that file"):
        run.outcome()


def test_averaged_probabilities_that_are_cut_short_are_refused_by_name(
    shapes: Dataset, runs_folder: Path
) -> None:
    run = record(run_of(shapes), Request(2, minibatches=True), runs_folder)
    path = run.folder / "probability-0002.npy"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(FileError, match=r"probability-0002\.npy is damaged"):
        run.probability(2)
