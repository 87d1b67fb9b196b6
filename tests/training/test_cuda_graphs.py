"""Replayed steps are what plain ones are.

A CUDA graph is stood in for by a tape, which replays on the CPU.
"""

import copy
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from prune_kit import models
from prune_kit.data.dataset import Dataset
from prune_kit.errors import RunError
from prune_kit.protocol.config import TrainConfig
from prune_kit.runs import recorder
from prune_kit.runs.cache import RecordedRun, Request, RunInputs
from prune_kit.training import cuda_graphs, loop, optimizers
from prune_kit.training.cuda_graphs import GraphSteps
from tests.conftest import ONE_THREAD, TINY
from tests.training.tape import tape
from tests.training.test_loop import training

ROWS = 77  # four batches of 16 and one of 13
EPOCHS = 3
CONFIGS = [
    {},
    {"crop_padding": 1, "flip": True, "schedule": "cosine"},
    {"schedule": "triangular", "nesterov": False, "momentum": 0.0},
    {"drop_last": True, "weight_decay": 0.01},
    {"model": "mlp", "flip": True},
]


@pytest.fixture(autouse=True)
def _nothing_refused_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda_graphs, "_unrecordable", {})


def trained(
    data: Dataset,
    config: TrainConfig,
    *,
    recorded: bool,
    model: nn.Module | None = None,
    cut: int = 0,
) -> tuple[dict[str, torch.Tensor], torch.Tensor, list[int], loop.Steps]:
    """The weights, the logits of each epoch, the steps told of, and what took them."""
    work = training(data, config, data.rows.training[:ROWS])
    work = replace(work, total_steps=work.total_steps - cut)
    model = model or models.build(config.model, shape=data.shape, classes=data.classes, seed=0)
    optimizer = optimizers.optimizer_for(model, config)
    plain = loop.EagerSteps(model, optimizer, work)
    steps: loop.Steps = GraphSteps(plain, tape) if recorded else plain
    logits, told, kept = torch.empty(len(data), data.classes), list[int](), []
    for epoch in range(1, EPOCHS + 1):
        logits.fill_(torch.nan)
        loop.train_epoch(model, optimizer, work, epoch, logits, told.append, steps)
        kept.append(logits.clone())
    return model.state_dict(), torch.stack(kept), told, steps


@pytest.mark.parametrize("cut", [0, 3])
@pytest.mark.parametrize("changes", CONFIGS)
def test_replayed_steps_train_the_same_network(
    shapes: Dataset, changes: dict[str, object], cut: int
) -> None:
    config = TINY.changed(changes)
    expected, their_logits, their_steps, _ = trained(shapes, config, recorded=False, cut=cut)
    found, logits, told, steps = trained(shapes, config, recorded=True, cut=cut)
    assert isinstance(steps, GraphSteps)
    assert (steps.refused, steps.replay is None) == ("", False)
    assert told == their_steps
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-5, atol=1e-6, msg=name)
    torch.testing.assert_close(logits, their_logits, rtol=1e-4, atol=1e-5, equal_nan=True)


def test_most_steps_are_replayed_and_none_is_missing(
    shapes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    take = loop.EagerSteps.take

    def counted(
        self: loop.EagerSteps, pixels: torch.Tensor, rows: torch.Tensor, *rest: object
    ) -> None:
        sizes.append(len(rows))
        take(self, pixels, rows, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(loop.EagerSteps, "take", counted)
    _, logits, told, _ = trained(shapes, TINY, recorded=True)
    assert told == list(range(1, 5 * EPOCHS + 1))
    # to warm up, the fourth, behind which there is no second to compare, to compare with, and what
    # is recorded
    assert sizes.count(16) == cuda_graphs.WARM_UP + 1 + cuda_graphs.COMPARED + 1
    assert sizes.count(13) == EPOCHS
    assert not logits[:, shapes.rows.training[:ROWS]].isnan().any()


class Dropping(nn.Module):
    """A network that draws in each step."""

    def __init__(self) -> None:
        super().__init__()
        self.drop, self.linear = nn.Dropout(0.5), nn.Linear(8 * 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.linear(self.drop(x.flatten(1)))
        return output


def test_dropout_draws_in_replayed_steps_what_it_draws_in_plain_ones(shapes: Dataset) -> None:
    torch.manual_seed(0)
    network = Dropping()
    expected, *_ = trained(shapes, TINY, recorded=False, model=copy.deepcopy(network))
    found, _, _, steps = trained(shapes, TINY, recorded=True, model=network)
    assert isinstance(steps, GraphSteps) and steps.refused == ""
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-5, atol=1e-6, msg=name)


class Counting(nn.Module):
    """A network that does something else in each step, which is decided in Python."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.steps = nn.Linear(8 * 8, 3), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.steps += 1
        output: torch.Tensor = self.linear(x.flatten(1)) * (1 + self.steps % 2)
        return output


class Asking(nn.Module):
    """A network that looks at its numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8 * 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = self.linear(x.flatten(1))
        return output if float(output.detach().abs().max()) > 0 else -output


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        (Counting, "replayed, the .* end .* from where eager steps"),
        (Asking, "cannot be recorded: .*capt"),
    ],
)
def test_what_cannot_be_replayed_is_trained_plainly_and_says_why(
    shapes: Dataset, network: type[nn.Module], reason: str
) -> None:
    torch.manual_seed(0)
    model = network()
    expected, their_logits, *_ = trained(shapes, TINY, recorded=False, model=copy.deepcopy(model))
    found, logits, told, steps = trained(shapes, TINY, recorded=True, model=model)
    assert isinstance(steps, GraphSteps) and steps.replay is None
    assert told == list(range(1, 5 * EPOCHS + 1))
    assert re.search(reason, steps.refused)
    *_, again = trained(shapes, TINY, recorded=True, model=network())
    assert isinstance(again, GraphSteps)
    if network is Asking:  # is not tried again in this process
        assert GraphSteps(steps.eager, tape).refused == steps.refused == again.refused
        for name, values in expected.items():
            assert torch.equal(found[name], values)
        torch.testing.assert_close(logits, their_logits, rtol=0, atol=0, equal_nan=True)


def test_a_network_with_weights_that_get_no_gradient_is_trained_plainly(shapes: Dataset) -> None:
    network = Dropping()
    network.register_parameter("unused", nn.Parameter(torch.ones(3)))
    _, _, told, steps = trained(shapes, TINY, recorded=True, model=network)
    assert isinstance(steps, GraphSteps) and "got no gradient" in steps.refused
    assert told == list(range(1, 5 * EPOCHS + 1))


def test_short_epochs_are_never_recorded(shapes: Dataset) -> None:
    config = TINY.changed({"batch_size": 40})
    _, _, told, steps = trained(shapes, config, recorded=True)
    assert isinstance(steps, GraphSteps) and steps.replay is None and steps.refused == ""
    assert told == list(range(1, 2 * EPOCHS + 1))


def test_a_run_with_replayed_steps_records_the_same(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = Request(
        3, minibatches=True, test=True, sweeps=frozenset({1, 3}), thresholds=frozenset({0.6})
    )
    run = RunInputs(shapes, TINY, 0, ONE_THREAD)
    recorder.complete(run, everything, tmp_path / "plain", lambda *_: None)
    made: list[GraphSteps] = []

    def recorded(
        model: nn.Module, optimizer: torch.optim.Optimizer, work: loop.Training
    ) -> loop.Steps:
        made.append(GraphSteps(loop.EagerSteps(model, optimizer, work), tape))
        return made[-1]

    monkeypatch.setattr(cuda_graphs, "fastest", recorded)
    recorder.complete(run, everything, tmp_path / "recorded", lambda *_: None)
    assert made[0].replay is not None
    plain, replayed = (
        RecordedRun(run, tmp_path / kind / run.key) for kind in ("plain", "recorded")
    )
    np.testing.assert_allclose(
        replayed.minibatches("l2_error", 3), plain.minibatches("l2_error", 3), atol=1e-4
    )
    np.testing.assert_allclose(replayed.sweep("l2_error", 3), plain.sweep("l2_error", 3), atol=1e-4)
    assert replayed.reached(0.6) == plain.reached(0.6)
    assert replayed.outcome()["test_accuracy"] == plain.outcome()["test_accuracy"]


def test_why_steps_are_not_replayed_is_told_at_the_end(
    shapes: Dataset, runs_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("operation not permitted\nat some place")

    monkeypatch.setattr(
        cuda_graphs,
        "fastest",
        lambda *given: GraphSteps(loop.EagerSteps(*given), fails),  # type: ignore[arg-type]
    )
    told: list[str] = []
    run = RunInputs(shapes, TINY, 0, ONE_THREAD)
    recorder.complete(
        run, Request(2, minibatches=True), runs_folder, lambda *line: told.append(line[2])
    )
    assert told[-1].endswith(
        "slower than it could be: its steps cannot be recorded: operation not permitted"
    )


@pytest.mark.slow
def test_a_compiled_network_is_trained_alike(shapes: Dataset, tmp_path: Path) -> None:
    request = Request(2, minibatches=True, sweeps=frozenset({2}))
    config = TINY.changed({"crop_padding": 1})
    errors = []
    for compiled in (False, True):
        run = RunInputs(shapes, config.changed({"compiled": compiled}), 0, ONE_THREAD)
        recorder.complete(run, request, tmp_path, lambda *_: None)
        errors.append(RecordedRun(run, tmp_path / run.key).sweep("l2_error", 2))
    assert len(list(tmp_path.iterdir())) == 2
    np.testing.assert_allclose(errors[1], errors[0], atol=1e-3)


def test_the_first_epoch_says_that_its_speed_includes_compiling(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda model, **_: model)
    told: list[str] = []
    run = RunInputs(shapes, TINY.changed({"compiled": True}), 0, ONE_THREAD)
    recorder.complete(run, Request(2), tmp_path, lambda *line: told.append(line[2]))
    assert ["compiling included" in note for note in told] == [True, False]


def test_a_network_that_cannot_be_compiled_is_told_with_a_remedy(
    shapes: Dataset, runs_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torch._dynamo.exc import TorchDynamoException

    def fails(*_: object, **__: object) -> nn.Module:
        class Failing(nn.Module):
            def forward(self, _: torch.Tensor) -> torch.Tensor:
                raise TorchDynamoException("no compiler\nand more")

        return Failing()

    monkeypatch.setattr(torch, "compile", fails)
    run = RunInputs(shapes, TINY.changed({"compiled": True}), 0, ONE_THREAD)
    with pytest.raises(
        RunError, match=r"cannot be compiled here: no compiler\. Leave out compiled=true"
    ):
        recorder.complete(run, Request(1), runs_folder, lambda *_: None)


def on_gpu(
    data: Dataset, config: TrainConfig, model: nn.Module, precision: str, *, recorded: bool
) -> tuple[torch.Tensor, loop.Steps]:
    """All weights after EPOCHS, and what took the steps."""
    device = torch.device("cuda")
    with cuda_graphs.own_stream(device):
        work = replace(
            training(data, config, data.rows.training[:ROWS], device=device), precision=precision
        )
        model = loop.placed(model, device)
        optimizer = optimizers.optimizer_for(model, config)
        plain = loop.EagerSteps(model, optimizer, work)
        steps: loop.Steps = GraphSteps(plain) if recorded else plain
        for epoch in range(1, EPOCHS + 1):
            loop.train_epoch(model, optimizer, work, epoch, steps=steps)
        return torch.cat([p.detach().flatten() for p in model.parameters()]).cpu(), steps


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("name", ["convnet", "mlp", "dropping"])
def test_a_gpu_replays_the_steps_of_a_training(shapes: Dataset, name: str, precision: str) -> None:
    config = TINY.changed({"crop_padding": 1, "flip": True})
    torch.manual_seed(0)
    network = (
        Dropping()
        if name == "dropping"
        else models.build(name, shape=shapes.shape, classes=shapes.classes, seed=0)
    )
    expected, _ = on_gpu(shapes, config, copy.deepcopy(network), precision, recorded=False)
    found, steps = on_gpu(shapes, config, network, precision, recorded=True)
    assert isinstance(steps, GraphSteps)
    assert (steps.refused, steps.replay is None) == ("", False)
    torch.testing.assert_close(
        found, expected, rtol=1e-2, atol=1e-2 if precision == "bf16" else 1e-3
    )


@pytest.mark.gpu
def test_a_gpu_trains_plainly_what_cannot_be_recorded_and_then_records_another(
    shapes: Dataset,
) -> None:
    torch.manual_seed(0)
    asking = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Unflatten(1, (1, 8, 8)), Asking())
    _, steps = on_gpu(shapes, TINY, asking, "fp32", recorded=True)
    assert isinstance(steps, GraphSteps) and "cannot be recorded" in steps.refused
    _, steps = on_gpu(shapes, TINY.changed({"model": "mlp"}), Dropping(), "fp32", recorded=True)
    assert isinstance(steps, GraphSteps) and steps.replay is not None
