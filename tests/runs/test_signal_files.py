"""A file that lacks a signal is recorded anew, by whoever needs that signal; what it has stays."""

from pathlib import Path

import numpy as np
import pytest
import torch

from prune_kit.data.dataset import Dataset
from prune_kit.errors import FileError
from prune_kit.pipeline import score
from prune_kit.runs.cache import Request, missing
from prune_kit.runs.folds import complete_folds
from prune_kit.runs.signal_files import array_names
from prune_kit.storage import files
from prune_kit.training import signals
from tests.conftest import TINY
from tests.runs.test_cache import count_epochs, record, run_of
from tests.runs.test_folds import trained

REQUEST = Request(3, minibatches=True, test=True, sweeps=frozenset({1, 3}))


def without(path: Path, name: str) -> None:
    """Write the file again as it would be, had the signal not existed."""
    kept = {other: files.read_array(path, other) for other in array_names(path) - {name}}
    files.write_arrays(path, kept)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("name", "epochs"),
    [
        ("minibatch-0001.npz", [1]),
        ("minibatch-0002.npz", [1, 2]),
        ("sweep-0001.npz", [1]),
        ("sweep-0003.npz", [1, 2, 3]),
        ("test-0003.npz", [1, 2, 3]),
    ],
)
def test_a_file_that_lacks_a_signal_is_recorded_anew_and_nothing_else(
    name: str, epochs: list[int], shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = record(run_of(shapes), REQUEST, tmp_path).folder
    whole = contents(folder)
    without(folder / name, "margin")
    assert (folder / name).read_bytes() != whole[name]
    trained = count_epochs(monkeypatch)
    record(run_of(shapes), REQUEST, tmp_path)
    assert trained == epochs
    after = contents(folder)
    assert {other: after[other] for other in whole} == whole


def test_what_a_file_has_keeps_its_bits(shapes: Dataset, tmp_path: Path) -> None:
    folder = record(run_of(shapes), REQUEST, tmp_path).folder
    path = folder / "sweep-0001.npz"
    without(path, "margin")
    marked = {name: files.read_array(path, name) for name in array_names(path)}
    marked["p_max"] = np.nextafter(marked["p_max"], 2).astype(np.float32)  # as another machine may
    files.write_arrays(path, marked)
    record(run_of(shapes), REQUEST, tmp_path)
    for name, values in marked.items():
        np.testing.assert_array_equal(files.read_array(path, name), values)
    assert array_names(path) == frozenset(signals.NAMES)


def test_a_score_that_needs_a_signal_which_the_cache_lacks_records_it_in_that_run_alone(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "epoch": (1, 2),
        "runs": 2,
        "config": TINY,
        "jobs": 1,
        "threads": 1,
        "workdir": tmp_path,
    }
    table = score(shapes, "consensus", **given)
    whole = contents(tmp_path)
    path = sorted(tmp_path.glob("runs/*/sweep-0001.npz"))[1]
    without(path, "predicted")
    trained = count_epochs(monkeypatch)
    again = score(shapes, "consensus", **given)
    assert trained == []  # the network of that epoch was kept
    for name, column in table.columns.items():
        np.testing.assert_array_equal(again.columns[name].values, column.values)
    assert contents(tmp_path) == whole


def test_a_signal_younger_than_the_cache_is_recorded_for_whoever_asks_for_it(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = record(run_of(shapes), REQUEST, tmp_path)
    original = signals.statistics

    def younger(logits: torch.Tensor, labels: torch.Tensor) -> dict[str, np.ndarray]:
        return {**original(logits, labels), "largest": logits.max(1).values.numpy()}

    monkeypatch.setattr(signals, "statistics", younger)
    assert missing(run.inputs, REQUEST, tmp_path) == []
    request = Request(3, sweeps=frozenset({3}), signals=frozenset({"largest"}))
    assert missing(run.inputs, request, tmp_path) == ["sweep-0003.npz", "test-0003.npz"]
    record(run.inputs, request, tmp_path)
    assert run.sweep("largest", 3).shape == (len(shapes),)
    assert missing(run.inputs, request, tmp_path) == []
    with pytest.raises(FileError, match=r"cannot read 'largest' from .*sweep-0001\.npz"):
        run.sweep("largest", 1)


@pytest.mark.parametrize("rate", [0.05, 1e-6])
def test_a_threshold_that_was_reached_is_watched_for_anew_and_one_that_never_was_is_not(
    rate: float, shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threshold = 0.9
    request = Request(3, minibatches=True, thresholds=frozenset({threshold}))
    inputs = run_of(shapes, config=TINY.changed({"learning_rate": rate}))
    run = record(inputs, request, tmp_path)
    whole = contents(run.folder)
    reached = run.reached(threshold)[0] is not None
    if reached:
        without(run.folder / f"threshold-{threshold}.npz", "correct")
    trained = count_epochs(monkeypatch)
    record(inputs, request, tmp_path)
    assert bool(trained) == reached == (rate == 0.05)
    after = contents(run.folder)
    assert {name: after[name] for name in whole} == whole


def test_folds_that_lack_an_array_are_trained_again_and_no_others(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holdout = trained(shapes, tmp_path)
    whole = {path.name: path.read_bytes() for path in holdout.folder.glob("*.npz")}
    seconds = holdout.seconds
    without(holdout.folder / "ratio-70-folds-0000-0002.npz", "probability")
    told: list[str] = []
    again = complete_folds(holdout, lambda step: told.append(step.what))
    assert set(told) == {"folds", "runs on", "networks folds 1 to 3 at 70 %"}
    assert again.seconds == seconds
    assert {path.name: path.read_bytes() for path in holdout.folder.glob("*.npz")} == whole


def test_a_damaged_file_of_signals_is_refused_by_name_before_anything_is_trained(
    shapes: Dataset, tmp_path: Path
) -> None:
    folder = record(run_of(shapes), REQUEST, tmp_path).folder
    path = folder / "sweep-0003.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileError, match=r"sweep-0003\.npz: .*Remove that file, and the run"):
        record(run_of(shapes), REQUEST, tmp_path)
    path.unlink()
    record(run_of(shapes), REQUEST, tmp_path)
    assert path.read_bytes() == whole
