"""Holdout validation: kept fold by fold, extended, resumed to the same bits."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prune_kit.data.dataset import Dataset
from prune_kit.errors import FileError, OptionError, RunError, TableError
from prune_kit.pipeline import score
from prune_kit.progress import Progress, note
from prune_kit.protocol import execution as execution_module
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.execution import Execution, ResolvedExecution
from prune_kit.results.table import ScoreTable
from prune_kit.runs import folds, state
from prune_kit.runs.cache import key_of
from prune_kit.runs.folds import complete_folds
from prune_kit.runs.holdout import Holdout
from prune_kit.runs.signal_files import read_signal
from prune_kit.runs.verification import verify_runs
from prune_kit.scorers import cscore
from prune_kit.scoring.plan import fold_execution
from prune_kit.storage import files
from tests.conftest import ONE_THREAD, TINY, shapes_data

MLP = TrainConfig(model="mlp", epochs=2, batch_size=16, learning_rate=0.05, schedule="constant")
RATIOS = (30, 70)


def trained(data: Dataset, folder: Path, config: TrainConfig = MLP, **changes: Any) -> Holdout:
    options: dict[str, Any] = {
        "ratios": RATIOS,
        "folds": 3,
        "sampling": "balanced",
        "execution": ONE_THREAD,
    } | changes
    return complete_folds(Holdout(data, config, seed=0, runs_folder=folder, **options))


def scored(data: Dataset, workdir: Path, config: TrainConfig = MLP, **options: Any) -> ScoreTable:
    given: dict[str, Any] = {
        "ratios": RATIOS,
        "folds": 3,
        "config": config,
        "jobs": 1,
        "precision": "fp32",
    } | options
    return score(data, "cscore", workdir=workdir, **given)


def same_bits(one: ScoreTable, other: ScoreTable) -> bool:
    a, b = one.columns["cscore"], other.columns["cscore"]
    arrays = [(a.values, b.values), *((a.extras[kind], b.extras[kind]) for kind in a.extras)]
    return all(x.tobytes() == y.tobytes() for x, y in arrays)


class Stop(Exception):
    """Stands for whatever ends a command in the middle."""


def stopping_after(finished: int) -> Any:
    count = 0

    def listen(step: Progress) -> None:
        nonlocal count
        if step.networks and step.done == step.total:
            count += 1
            if count == finished:
                raise Stop

    return listen


@pytest.mark.parametrize("size", [1, 2])
@pytest.mark.parametrize("config", [MLP, TINY], ids=["mlp", "convnet"])
def test_a_command_interrupted_after_any_fold_and_repeated_gives_the_same_bits(
    shapes, tmp_path, config, size, monkeypatch
):
    whole = scored(
        shapes, tmp_path / "whole", config
    )  # whose folds train in groups of three, where they can
    if config is TINY and size == 2:
        pytest.skip("convnets train one by one")
    monkeypatch.setattr(Holdout, "group_size", size)
    for finished in range(1, 6 // size):
        workdir = tmp_path / f"{finished}"
        with pytest.raises(Stop):
            scored(shapes, workdir, config, progress=stopping_after(finished))
        assert same_bits(scored(shapes, workdir, config), whole)
        assert not list(workdir.glob("runs/*/in-work"))


@pytest.mark.parametrize("config", [MLP, TINY], ids=["mlp", "convnet"])
@pytest.mark.parametrize("end", [Stop, KeyboardInterrupt])
def test_a_command_ended_inside_a_group_goes_on_from_its_last_epoch_to_the_same_bits(
    shapes, tmp_path, config, end, monkeypatch
):
    monkeypatch.setattr(state, "STATE_INTERVAL", 0.0 if end is Stop else float("inf"))
    monkeypatch.setattr(
        state, "STATE_SHARE", 1e-9
    )  # interrupted: the first epoch is in the file, the second is not
    config = config.changed({"epochs": 4})
    whole = scored(shapes, tmp_path / "whole", config)
    told: list[Progress] = []

    def ending(step: Progress) -> None:
        told.append(step)
        if len([step for step in told if step.done == 2]) == 2:
            raise end

    with pytest.raises(end):
        scored(shapes, tmp_path, config, progress=ending)
    (unfinished,) = {step.what for step in told if step.done == 2} - {
        step.what for step in told if step.done == 4
    }
    told.clear()
    assert same_bits(scored(shapes, tmp_path, config, progress=told.append), whole)
    resumed = [step for step in told if step.what == unfinished]
    assert [step.done for step in resumed] == [3, 4]
    assert resumed[1].note.endswith(" s, went on after epoch 2")
    assert not list(tmp_path.glob("runs/*/in-work"))


def test_an_interrupted_command_goes_on_with_the_groups_that_it_planned(
    shapes, tmp_path, monkeypatch
):
    monkeypatch.setattr(Holdout, "group_size", 2)
    with pytest.raises(Stop):
        scored(shapes, tmp_path, progress=stopping_after(1))
    monkeypatch.setattr(Holdout, "group_size", 3)
    holdout = Holdout(shapes, MLP, ONE_THREAD, 0, "balanced", RATIOS, 3, tmp_path / "runs")
    assert holdout.groups() == [(70, range(2)), (30, range(2, 3)), (70, range(2, 3))]


def test_a_group_stays_together_and_a_part_of_it_begins_anew(shapes, tmp_path):
    holdout = Holdout(shapes, MLP, ONE_THREAD, 0, "balanced", (30,), 6, tmp_path)
    holdout.in_work(30, range(1, 3)).mkdir(parents=True)
    assert holdout.groups() == [(30, range(1)), (30, range(1, 3)), (30, range(3, 6))]
    assert replace(holdout, folds=2).groups() == [(30, range(2))]


BF16 = replace(ONE_THREAD, precision="bf16")


def files_of(holdout: Holdout) -> list[str]:
    return [path.name for path in sorted(holdout.folder.glob("*.npz"))]


def contents(holdout: Holdout, *, but: str = "seconds") -> dict[tuple[int, int], list[bytes]]:
    """Every array of every fold, as bytes."""
    names = sorted(holdout.arrays - {but})
    return {
        fold: [read_signal(path, name)[place].tobytes() for name in names]
        for fold, (path, place) in holdout.kept().items()
    }


def counted_networks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many networks each group trains, as they are stacked."""
    counts: list[int] = []
    stack = folds.ensemble.stack

    def counted(models: list[Any], *others: Any, **more: Any) -> Any:
        counts.append(len(models))
        return stack(models, *others, **more)

    monkeypatch.setattr(folds.ensemble, "stack", counted)
    return counts


def test_where_the_bits_depend_on_the_group_every_fold_trains_in_its_block_of_four(
    shapes, tmp_path, monkeypatch
):
    counts = counted_networks(monkeypatch)
    few = trained(shapes, tmp_path / "grown", folds=2, execution=BF16)
    assert counts == [4, 4]
    assert files_of(few) == ["ratio-30-folds-0000-0003.npz", "ratio-70-folds-0000-0003.npz"]
    first = contents(few)
    counts.clear()
    assert contents(trained(shapes, tmp_path / "grown", folds=4, execution=BF16)) == first
    assert counts == []  # those beyond were kept
    more = trained(shapes, tmp_path / "grown", folds=6, execution=BF16)
    assert counts == [4, 4]
    anew = trained(shapes, tmp_path / "anew", folds=6, execution=replace(BF16, jobs=2))
    assert contents(more) == contents(anew)
    assert {fold: contents(anew)[fold] for fold in first} == first


@pytest.mark.parametrize("jobs", [1, 2, 5])
def test_jobs_change_no_block_and_the_folder_says_the_size(shapes, tmp_path, jobs):
    execution = replace(BF16, jobs=jobs)
    holdout = Holdout(shapes, MLP, execution, 0, "balanced", RATIOS, 6, tmp_path)
    assert holdout.groups() == [(ratio, range(at, at + 4)) for at in (0, 4) for ratio in RATIOS]
    assert holdout.inputs["group_size"] == 4
    alone = replace(holdout, config=TINY)  # convnets train one by one
    assert "group_size" not in alone.inputs and alone.groups()[0] == (30, range(1))


@pytest.mark.parametrize(
    ("device", "precision"), [("cuda:0", "bf16"), ("cuda:0", "fp32"), ("cpu", "bf16")]
)
def test_the_group_size_is_an_input_where_bits_depend_on_it_and_does_not_change(
    shapes, tmp_path, device, precision
):
    execution = replace(ONE_THREAD, device=device, precision=precision, jobs=3)
    holdout = Holdout(shapes, MLP, execution, 0, "balanced", RATIOS, 6, tmp_path)
    size = 4 if device == "cpu" else 20
    assert holdout.inputs["group_size"] == holdout.group_size == size
    assert holdout.trained_with(range(5, 6)) == range(5 // size * size, (5 // size + 1) * size)


def test_in_fp32_on_a_cpu_the_key_is_what_it_was_and_groups_leave_no_process_idle(shapes, tmp_path):
    holdout = Holdout(shapes, MLP, ONE_THREAD, 0, "balanced", (30,), 6, tmp_path)
    assert "group_size" not in holdout.inputs
    assert holdout.groups() == [(30, range(4)), (30, range(4, 6))]
    three = replace(holdout, execution=replace(ONE_THREAD, jobs=3))
    assert three.groups() == [(30, range(2)), (30, range(2, 4)), (30, range(4, 6))]


def test_folds_kept_before_the_group_size_was_an_input_are_found_and_gone_on_with(
    shapes, tmp_path, monkeypatch
):
    anew = trained(shapes, tmp_path / "anew", folds=6, execution=BF16)
    older = {name: value for name, value in anew.inputs.items() if name != "group_size"}
    folder = tmp_path / "older" / key_of(older)
    folder.mkdir(parents=True)
    files.write_json(folder / "inputs.json", older)
    kept = {name: read_signal(anew.path(30, range(4)), name) for name in anew.arrays}
    few = {name: value[1:3] if value.ndim else value for name, value in kept.items()}
    files.write_arrays(folder / "ratio-30-folds-0001-0002.npz", few)  # no block of today
    counts = counted_networks(monkeypatch)
    grown = trained(shapes, tmp_path / "older", folds=6, execution=BF16)
    assert grown.folder == folder and "group_size" not in grown.inputs
    assert counts == [4] * 5  # the first block twice: folds 0 and 3 are kept of it
    assert files_of(grown) == [
        "ratio-30-folds-0000-0000.npz",
        "ratio-30-folds-0001-0002.npz",
        "ratio-30-folds-0003-0003.npz",
        "ratio-30-folds-0004-0007.npz",
        "ratio-70-folds-0000-0003.npz",
        "ratio-70-folds-0004-0007.npz",
    ]
    assert contents(grown) == contents(anew)
    assert verify_runs(tmp_path / "older")[1] == []
    counts.clear()
    trained(shapes, tmp_path / "older", folds=5, execution=BF16)
    assert counts == []


def test_a_block_ended_in_the_middle_goes_on_to_the_same_bits(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(state, "STATE_SHARE", 1e-9)
    whole = trained(shapes, tmp_path / "whole", folds=2, execution=BF16)
    train = folds.ensemble.train_epoch

    def stopping(*given: Any) -> None:
        if given[-1] == 2:
            raise KeyboardInterrupt
        train(*given)

    with monkeypatch.context() as patch:
        patch.setattr(folds.ensemble, "train_epoch", stopping)
        with pytest.raises(KeyboardInterrupt):
            trained(shapes, tmp_path, folds=2, execution=BF16)
    epochs: list[int] = []

    def counted(*given: Any) -> None:
        epochs.append(given[-1])
        train(*given)

    monkeypatch.setattr(folds.ensemble, "train_epoch", counted)
    assert contents(trained(shapes, tmp_path, folds=2, execution=BF16)) == contents(whole)
    assert epochs == [2, 1, 2]


def test_more_folds_train_only_what_is_not_there(shapes, tmp_path):
    few = scored(shapes, tmp_path, folds=2)
    heard: list[Progress] = []
    more = scored(shapes, tmp_path, folds=4, table=few, progress=heard.append)
    assert (
        sum(step.networks for step in heard if step.done == step.total) == 4
    )  # two folds more at two ratios
    assert heard[0] == note("folds", "4 of 8 are there already")
    assert same_bits(more, scored(shapes, tmp_path / "anew", folds=4))
    assert same_bits(
        scored(shapes, tmp_path, folds=2, table=more), more
    )  # fewer keep what is there


def test_other_ratios_sampling_or_precision_than_the_table_has_are_refused(shapes, tmp_path):
    table = scored(shapes, tmp_path)
    for changes, told in (
        ({"ratios": (50,)}, r"ratios \[50\] \(the table has \[30, 70\]\)"),
        ({"sampling": "uniform"}, r"sampling uniform \(the table has balanced\)"),
    ):
        with pytest.raises(TableError, match=told):
            scored(shapes, tmp_path, table=table, **changes)
    with pytest.raises(
        TableError, match="the folds of the table were trained with precision fp32, not bf16"
    ):
        fold_execution(Execution(precision="bf16", jobs=1), 6, table.columns["cscore"])
    with pytest.raises(
        TableError, match="the folds of the table were trained with threads 1, not 2"
    ):
        fold_execution(Execution(jobs=1, threads=2), 6, table.columns["cscore"])


def test_folds_that_a_cpu_began_do_not_go_on_on_a_gpu(shapes, tmp_path, monkeypatch):
    table = scored(shapes, tmp_path)
    monkeypatch.setattr(execution_module, "_resolve_device", lambda _: "cuda:0")
    with pytest.raises(TableError, match=r"device cuda \(the table has cpu\).*device='cpu'"):
        scored(shapes, tmp_path, folds=4, table=table)


def test_no_network_is_asked_about_a_row_that_it_was_trained_on(shapes, tmp_path, monkeypatch):
    seen = []
    train = folds.ensemble.train_epoch

    def spy(networks, pictures, labels, members, *others):
        seen.append(members.numpy().copy())
        train(networks, pictures, labels, members, *others)

    monkeypatch.setattr(folds.ensemble, "train_epoch", spy)
    holdout = trained(shapes, tmp_path, folds=1)
    for members, ratio in zip(seen[:: MLP.epochs], RATIOS, strict=True):
        path, _ = holdout.kept()[ratio, 0]
        asked = np.unpackbits(np.load(path)["held_out"][0], count=len(shapes)).astype(bool)
        assert sorted([*members[0], *np.flatnonzero(asked)]) == list(range(len(shapes)))
        assert len(members[0]) == round(len(shapes) * ratio / 100)


def test_rows_that_play_the_test_set_are_neither_trained_on_nor_asked(tmp_path):
    from prune_kit.data.dataset import from_arrays

    with_test = shapes_data()
    data = from_arrays(with_test.images, with_test.labels, name="shapes", spec="shapes")
    table = scored(data, tmp_path, folds=2)
    column, held_out = table.columns["cscore"], data.rows.role == 1
    assert held_out.any()
    assert np.isnan(column.values[held_out]).all()
    assert not column.extras["votes"][held_out].any()
    assert np.isfinite(column.values[~held_out]).sum() > 0


def test_several_processes_give_the_bits_of_one(shapes, tmp_path):
    assert same_bits(scored(shapes, tmp_path / "one"), scored(shapes, tmp_path / "two", jobs=2))


def test_groups_take_neighbouring_folds_and_leave_out_what_is_kept(shapes, tmp_path, monkeypatch):
    trained(shapes, tmp_path, folds=1)
    monkeypatch.setattr(Holdout, "group_size", 3)
    rest = Holdout(shapes, MLP, ONE_THREAD, 0, "balanced", RATIOS, 6, tmp_path)
    assert rest.groups() == [
        (30, range(1, 4)),
        (70, range(1, 4)),
        (30, range(4, 6)),
        (70, range(4, 6)),
    ]


def test_a_group_of_networks_says_what_each_of_them_says_alone(shapes, tmp_path, monkeypatch):
    monkeypatch.setattr(Holdout, "group_size", 1)
    one_by_one = trained(shapes, tmp_path / "alone").probability()
    monkeypatch.setattr(Holdout, "group_size", 3)
    at_once = trained(shapes, tmp_path / "together")
    assert [path.name for path in sorted(at_once.folder.glob("*.npz"))] == [
        "ratio-30-folds-0000-0002.npz",
        "ratio-70-folds-0000-0002.npz",
    ]
    np.testing.assert_allclose(at_once.probability(), one_by_one, atol=2e-3)  # kept as float16


def test_a_training_that_diverges_is_named(shapes, tmp_path):
    with pytest.raises(
        RunError, match=r"training diverged: fold 1 at 30 %, .* Lower the learning rate"
    ):
        trained(shapes, tmp_path, MLP.changed({"learning_rate": 1e5}), folds=1)


def test_the_folds_of_another_seed_are_other_networks(shapes, tmp_path):
    one, other = scored(shapes, tmp_path), scored(shapes, tmp_path, seed=7)
    assert not np.array_equal(one.columns["cscore"].values, other.columns["cscore"].values)


def test_the_table_says_how_its_folds_were_trained(shapes, tmp_path):
    parameters = scored(shapes, tmp_path).columns["cscore"].parameters
    assert parameters["ratios"] == [30, 70]
    assert parameters["folds"] == 3
    assert (parameters["sampling"], parameters["fold_precision"]) == ("balanced", "fp32")
    assert parameters["fold_threads"] >= 1
    assert len(parameters["test_accuracy_by_ratio"]) == 2


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"ratios": (0, 50)}, "ratios=[0, 50] is out of range; expected percents from 1 to 99"),
        ({"ratios": (50, 50)}, "ratios=[50, 50] is out of range"),
        ({"ratios": ()}, "ratios=[] is out of range"),
        ({"folds": 0}, "folds=0 is out of range"),
        ({"sampling": "balance"}, "unknown `sampling` 'balance'. Did you mean 'balanced'"),
        ({"space": "pixels"}, "`space` is for method='class_distance,density"),
    ],
)
def test_an_option_that_does_not_fit_is_refused(shapes, tmp_path, options, told):
    with pytest.raises(OptionError) as caught:
        scored(shapes, tmp_path, **options)
    assert told in str(caught.value)


def test_one_process_trains_one_network_per_core() -> None:
    found = fold_execution(Execution(precision="fp32", jobs=2), 180, None)
    assert isinstance(found, ResolvedExecution)
    assert found.jobs == 2


def test_cscore_options_have_the_defaults_of_the_paper() -> None:
    assert cscore.OPTIONS["ratios"]["default"] == (10, 20, 30, 40, 50, 60, 70, 80, 90)


def test_a_damaged_fold_is_refused_by_name_and_trained_again_once_it_is_removed(shapes, tmp_path):
    whole = scored(shapes, tmp_path)
    kept = sorted(tmp_path.glob("runs/*/ratio-*.npz"))[0]
    kept.write_bytes(kept.read_bytes()[:-400])
    with pytest.raises(
        FileError, match=rf"{kept.name}.* Remove that file, and the run records it again"
    ):
        scored(shapes, tmp_path)
    kept.unlink()
    assert same_bits(scored(shapes, tmp_path), whole)
