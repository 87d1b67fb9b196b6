"""The statistics of batch norm that grand is scored by, and what is recorded of its arithmetic."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from prune_kit.data.dataset import Dataset
from prune_kit.errors import OptionError, TableError
from prune_kit.measures.gradients import norms
from prune_kit.measures.gradients.norms import per_example_gradient_norms
from prune_kit.pipeline import score
from prune_kit.protocol.execution import Execution
from prune_kit.results.table import ScoreTable
from prune_kit.runs.cache import RecordedRun, Request, RunInputs
from prune_kit.runs.recorder import complete
from prune_kit.scorers import Runs, grand
from prune_kit.storage import files
from prune_kit.training import images
from tests.conftest import ONE_THREAD, TINY


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def table(shapes: Dataset, workdir: Path) -> ScoreTable:
    return score(shapes, "grand", epoch=0, runs=2, config=TINY, jobs=1, workdir=workdir)


@pytest.fixture(scope="module")
def calibrated(shapes: Dataset, workdir: Path, table: ScoreTable) -> ScoreTable:
    return score(
        shapes, "grand", epoch=0, runs=2, config=TINY, jobs=1, workdir=workdir, bn="calibrated"
    )


def untrained(shapes: Dataset, folder: Path, **execution: str) -> Runs:
    """Two runs in fp32, or in the precisions given."""
    recorded = []
    for seed in (0, 1):
        inputs = RunInputs(shapes, TINY, seed, replace(ONE_THREAD, **execution))  # type: ignore[arg-type]
        complete(inputs, Request(0, weights=frozenset({0})), folder, lambda *_: None)
        recorded.append(RecordedRun(inputs, folder / inputs.key))
    return Runs(tuple(recorded), 0, recorded[0].inputs.execution)


def test_at_epoch_zero_calibrated_statistics_give_other_norms(
    table: ScoreTable, calibrated: ScoreTable
) -> None:
    running, anew = (t.columns["grand@0"] for t in (table, calibrated))
    assert (running.parameters["bn"], anew.parameters["bn"]) == ("running", "calibrated")
    assert np.abs(anew.values / running.values - 1).min() > 1e-3


def test_calibrated_norms_are_those_of_a_network_whose_batch_norms_have_seen_the_training_rows(
    shapes: Dataset, calibrated: ScoreTable, tmp_path: Path
) -> None:
    pictures = images.on_device(
        shapes.images, *images.normalisation(shapes), torch.device("cpu")
    ).batch(slice(None))
    for r, run in enumerate(untrained(shapes, tmp_path).recorded):
        model = run.model(0)
        seeing = copy.deepcopy(model).train()
        for layer in seeing.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 1.0
        seeing(pictures)  # 77 rows: one batch for the calibration, too
        expected = per_example_gradient_norms(seeing, pictures, torch.from_numpy(shapes.labels))
        np.testing.assert_allclose(
            calibrated.columns["grand@0"].extras["per_run"][r], expected, rtol=1e-4
        )


def test_a_network_without_batch_norm_scores_the_same_either_way(
    shapes: Dataset, tmp_path: Path
) -> None:
    config = TINY.changed({"model": "mlp"})
    running, anew = (
        score(shapes, "grand", epoch=0, runs=1, config=config, workdir=tmp_path, bn=bn).columns[
            "grand@0"
        ]
        for bn in grand.OPTIONS["bn"]["choices"]
    )
    np.testing.assert_array_equal(running.values, anew.values)


def test_both_kinds_are_kept_side_by_side_in_the_run(
    workdir: Path, table: ScoreTable, calibrated: ScoreTable
) -> None:
    for run in (workdir / "runs").iterdir():
        assert {path.name for path in run.glob("grand*")} == {
            "grand-0000.npz",
            "grand-calibrated-0000.npz",
        }


def test_unknown_statistics_are_refused_and_the_right_ones_named(
    shapes: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(
        OptionError,
        match=r"'calibrate'\. Did you mean 'calibrated'\? There are: running, calibrated",
    ):
        score(shapes, "grand", epoch=0, config=TINY, workdir=tmp_path, bn="calibrate")
    with pytest.raises(OptionError, match="`bn` is for method='grand'"):
        score(shapes, "el2n", epoch=0, config=TINY, workdir=tmp_path, bn="calibrated")


def test_a_table_scored_by_other_statistics_is_refused_unless_it_is_started_anew(
    shapes: Dataset, workdir: Path, table: ScoreTable
) -> None:
    with pytest.raises(
        TableError, match=r"grand@0 .* bn calibrated \(the table has running\)\. Give table=None"
    ):
        score(shapes, "grand", epoch=0, runs=2, table=table, workdir=workdir, bn="calibrated")
    same = score(shapes, "grand", epoch=0, runs=2, table=table, workdir=workdir, bn="running")
    assert same.columns["grand@0"] is table.columns["grand@0"]


def test_the_arithmetic_is_recorded_also_when_the_norms_were_kept_before(
    shapes: Dataset, workdir: Path, table: ScoreTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(norms, "data_gradient_norms", None)  # so that nothing is computed
    again = score(shapes, "grand", epoch=0, runs=2, config=TINY, jobs=1, workdir=workdir)
    for column in (table.columns["grand@0"], again.columns["grand@0"]):
        assert column.parameters["gradient_precision"] == "fp32"
    np.testing.assert_array_equal(again.columns["grand@0"].values, table.columns["grand@0"].values)


def test_the_arithmetic_of_runs_that_differ_is_counted(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = untrained(shapes, tmp_path, precision="bf16", gradient_precision="bf16")
    for run, allowed in zip(runs.recorded, (0.0, 1.0), strict=True):
        monkeypatch.setattr(norms, "BF16_ERROR", allowed)
        grand.score(shapes, replace(runs, recorded=(run,)), epoch=0, bn="running")
    assert grand.provenance(runs, epoch=0, bn="running") == {
        "gradient_precision": "bf16 in 1 of 2 runs, fp32 in 1 of 2 runs"
    }
    second = replace(runs, recorded=runs.recorded[1:])
    assert grand.provenance(second, epoch=0, bn="running") == {"gradient_precision": "bf16"}


def test_norms_kept_before_the_arithmetic_was_are_still_read(
    shapes: Dataset, tmp_path: Path
) -> None:
    runs = untrained(shapes, tmp_path)
    for run in runs.recorded:
        files.write_arrays(
            run.folder / "grand-0000.npz", {"values": np.ones(len(shapes), dtype=np.float32)}
        )
    assert (grand.score(shapes, runs, epoch=0, bn="running") == 1).all()
    assert grand.provenance(runs, epoch=0, bn="running") == {"gradient_precision": "unrecorded"}


def test_norms_are_taken_in_bf16_only_where_it_was_asked_for_in_so_many_words() -> None:
    assert Execution(device="cpu").resolve().gradient_precision == "fp32"
    assert Execution(device="cpu", precision="bf16").resolve().gradient_precision == "bf16"


def test_a_table_trained_in_bf16_takes_later_norms_in_fp32(shapes: Dataset, tmp_path: Path) -> None:
    options = {"epoch": 1, "runs": 1, "config": TINY, "jobs": 1, "workdir": tmp_path}
    table = score(shapes, "el2n", precision="bf16", **options)
    later = score(shapes, "grand", table=table, **options).columns["grand@1"].parameters
    assert (later["precision"], later["gradient_precision"]) == ("bf16", "fp32")
