"""Where networks train: what --jobs and --threads mean, what earlier runs settle, and what is said
of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from prune_kit import retrain, score, select
from prune_kit.data.dataset import Dataset
from prune_kit.errors import FileError, OptionError, TableError
from prune_kit.progress import Progress
from prune_kit.protocol import execution
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.execution import Execution, ResolvedExecution
from prune_kit.runs.cache import RunInputs, begun_threads

MLP = TrainConfig(model="mlp", epochs=2, batch_size=32, learning_rate=0.05)


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "_cores", lambda: 4)


def trained(shapes: Dataset, workdir: Path, verb: Any = score, **options: Any) -> int:
    """How many networks the verb has to train."""
    heard: list[Progress] = []
    verb(shapes, workdir=workdir, progress=heard.append, **options)
    return sum(step.networks for step in heard if step.done == step.total)


@pytest.mark.parametrize(
    ("networks", "jobs", "threads", "expected"),
    [
        (10, None, None, (4, 1)),
        (3, None, None, (4, 1)),
        (2, None, None, (2, 2)),
        (1, None, None, (1, 4)),
        (0, None, None, (1, 4)),
        (10, 1, None, (1, 1)),  # the number at once changes no result
        (1, 8, None, (1, 4)),
        (10, None, 2, (2, 2)),
        (10, 1, 2, (1, 2)),
        (10, 4, 2, (2, 2)),  # never more threads than cores ...
        (10, 4, 8, (1, 8)),
        (10, 8, 1, (8, 1)),  # ... but of networks with one thread each
    ],
)
def test_a_cpu_trains_as_many_networks_at_once_as_its_cores_hold(
    networks: int, jobs: int | None, threads: int | None, expected: tuple[int, int]
) -> None:
    found = Execution(device="cpu", jobs=jobs).resolve(networks=networks, begun_threads=threads)
    assert (found.jobs, found.threads) == expected
    assert found.limited == (jobs is not None and found.jobs < jobs)


@pytest.mark.parametrize("name", ["jobs", "threads"])
def test_numbers_below_one_are_refused(name: str) -> None:
    with pytest.raises(OptionError, match=f"{name}=0 is out of range; at least 1"):
        Execution(device="cpu", **{name: 0})  # type: ignore[arg-type]


def test_more_threads_than_cores_are_refused_unless_a_table_has_them(
    shapes: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(
        OptionError, match=r"threads=5 is more than this machine's cores, 4\. Leave it out"
    ):
        score(shapes, "el2n", runs=1, epoch=1, config=MLP, threads=5, workdir=tmp_path)
    table = score(shapes, "el2n", runs=1, epoch=1, config=MLP, threads=4, workdir=tmp_path)
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setattr(execution, "_cores", lambda: 2)
        assert trained(shapes, tmp_path, runs=2, epoch=1, table=table) == 1


def test_where_it_runs_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "multiplies_bf16", lambda: False)
    cpu = ResolvedExecution(device="cpu", precision="fp32", threads=2, jobs=2)
    assert cpu.describe(10) == "cpu in fp32: 2 networks at once, 2 threads each"
    assert (
        replace(cpu, threads=1).describe(1) == "cpu in fp32: one network at a time, 1 thread each"
    )
    assert (
        cpu.describe(9, groups=True) == "cpu in fp32: 2 groups of networks at once, 2 threads each"
    )
    assert (
        replace(cpu, limited=True)
        .describe(3)
        .endswith("each, since more would take more threads than there are cores")
    )
    assert "bf16 (slow: this CPU has no instructions for it): 2" in replace(
        cpu, precision="bf16"
    ).describe(2)
    assert (
        replace(cpu, threads=8, jobs=1)
        .describe(1)
        .endswith("8 threads each (slow: there are fewer cores)")
    )
    gpu = ResolvedExecution(device="cuda:0", precision="bf16", threads=4)
    assert gpu.describe(10) == "cuda:0 in bf16: one network at a time"


def test_on_a_gpu_the_threads_of_the_cpu_are_no_input(shapes: Dataset) -> None:
    one = ResolvedExecution(device="cuda:0", precision="bf16", threads=1)
    runs = [RunInputs(shapes, MLP, 0, execution) for execution in (one, replace(one, threads=4))]
    assert runs[0].key == runs[1].key
    assert runs[0].describe()["threads"] is None


@pytest.mark.parametrize("then", [{"runs": 1}, {"runs": 2}, {"jobs": 1, "runs": 4}])
def test_begun_without_a_table_and_repeated_for_other_runs_or_jobs_nothing_is_trained_again(
    shapes: Dataset, tmp_path: Path, then: dict[str, Any]
) -> None:
    assert trained(shapes, tmp_path, runs=4, epoch=1, config=MLP) == 4
    assert trained(shapes, tmp_path, epoch=1, config=MLP, **then) == 0


def test_retraining_without_scores_goes_on_with_the_threads_it_began_with(
    shapes: Dataset, tmp_path: Path
) -> None:
    table = score(shapes, "input_norm", workdir=tmp_path)
    selection = select(table, rule="random", keep=0.5)
    options: dict[str, Any] = {"config": MLP, "selections": selection}
    assert trained(shapes, tmp_path, retrain, runs=2, **options) == 6
    assert trained(shapes, tmp_path, retrain, runs=1, baseline="full", **options) == 0


def test_threads_that_are_named_are_taken_and_those_of_a_table_stand(
    shapes: Dataset, tmp_path: Path
) -> None:
    table = score(shapes, "el2n", runs=2, epoch=1, config=MLP, threads=1, workdir=tmp_path)
    assert table.column(None).parameters["threads"] == 1
    with pytest.raises(TableError, match=r"made otherwise: threads 2 \(the table has 1\)"):
        score(shapes, "aum", epoch=1, table=table, threads=2, workdir=tmp_path)
    wider = score(shapes, "el2n", runs=3, epoch=1, table=table, jobs=2, workdir=tmp_path)
    assert wider.column(None).parameters["threads"] == 1


def test_retraining_takes_precision_and_threads_of_the_scores(
    shapes: Dataset, tmp_path: Path
) -> None:
    table = score(
        shapes, "el2n", runs=2, epoch=1, config=MLP, threads=2, precision="bf16", workdir=tmp_path
    )
    selection = select(table, keep=0.5)
    options: dict[str, Any] = {"runs": 1, "baseline": [], "workdir": tmp_path}
    for given, expected in (({}, ("bf16", 2)), ({"precision": "fp32", "threads": 1}, ("fp32", 1))):
        setup = retrain(shapes, selection, **options, **given).rows[0].setup
        assert setup is not None and (setup.precision, setup.threads) == expected


def test_inputs_of_a_run_that_cannot_be_read_are_named(shapes: Dataset, tmp_path: Path) -> None:
    run = RunInputs(shapes, MLP, 0, ResolvedExecution(device="cpu", precision="fp32", threads=1))
    assert begun_threads([run], tmp_path) is None
    broken = tmp_path / "0123" / "inputs.json"
    broken.parent.mkdir()
    broken.write_text("{")
    assert begun_threads([run], tmp_path) is None  # it was planned, and nothing of it trained
    (broken.parent / "minibatch-0001.npz").touch()
    with pytest.raises(FileError, match=r"inputs\.json.*Remove that file"):
        begun_threads([run], tmp_path)
