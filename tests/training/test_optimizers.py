"""A training goes on with whatever its optimiser keeps, to the same bits."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from prune_kit.data.dataset import Dataset
from prune_kit.protocol.config import TrainConfig
from prune_kit.runs import recorder, state
from prune_kit.runs.cache import RecordedRun, Request, RunInputs
from prune_kit.runs.tensor_files import read_tensors, write_tensors
from prune_kit.training import cuda_graphs, loop, optimizers
from tests.conftest import ONE_THREAD, TINY
from tests.training.tape import tape
from tests.training.test_loop import training

EVERYTHING = Request(3, minibatches=True, sweeps=frozenset({3}), weights=frozenset({3}))


class Counting(torch.optim.Optimizer):
    """Keeps a plain number and a tensor of its own shape for each parameter, and a number for
    all."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        super().__init__(parameters, {"lr": 0.01, "shares": (1, 2), "taken": 0})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            group["taken"] += 1
            for parameter in group["params"]:
                entry = self.state[parameter]
                entry.setdefault("step", 0)
                entry.setdefault("sizes", torch.zeros(2))
                entry["step"] += 1
                entry["sizes"] += torch.stack([parameter.norm(), parameter.grad.norm()])
                one, other = entry["sizes"] / entry["step"]
                rate = group["lr"] / (1 + float(one + other)) / group["taken"] ** 0.5
                parameter.sub_(rate * parameter.grad)


def adam(model: nn.Module, _: TrainConfig) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=0.01, amsgrad=True)


def fused_adamw(model: nn.Module, _: TrainConfig) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)


def adadelta(model: nn.Module, _: TrainConfig) -> torch.optim.Optimizer:
    """In two groups, in another order than that of the network."""
    parameters = list(model.parameters())
    groups = [{"params": parameters[3:]}, {"params": parameters[:3], "weight_decay": 0.01}]
    return torch.optim.Adadelta(groups, lr=0.5)


def counting(model: nn.Module, _: TrainConfig) -> torch.optim.Optimizer:
    return Counting(model.parameters())


MAKERS = [optimizers.optimizer_for, adam, fused_adamw, adadelta, counting]
Maker = Callable[[nn.Module, TrainConfig], torch.optim.Optimizer]


def interrupted_at(epoch_to_stop: int) -> Callable[..., int]:
    train = loop.train_epoch

    def stopping(
        model: object, optimizer: object, work: object, epoch: int, *rest: object, **more: object
    ) -> int:
        if epoch == epoch_to_stop:
            raise KeyboardInterrupt
        return train(model, optimizer, work, epoch, *rest, **more)  # type: ignore[arg-type]

    return stopping


def interrupt(run: RunInputs, folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Train two of three epochs; gives the file of the state."""
    with patch.context() as inner:
        inner.setattr(loop, "train_epoch", interrupted_at(3))
        with pytest.raises(KeyboardInterrupt):
            recorder.complete(run, EVERYTHING, folder, lambda *_: None)
    return folder / run.key / recorder.STATE


def results(run: RunInputs, folder: Path) -> dict[str, bytes]:
    recorder.complete(run, EVERYTHING, folder, lambda *_: None)
    kinds = ("minibatch", "sweep", "weights", "probability")
    paths = RecordedRun(run, folder / run.key).folder.iterdir()
    return {path.name: path.read_bytes() for path in paths if path.name.startswith(kinds)}


@pytest.mark.parametrize("make", MAKERS)
def test_a_run_of_any_optimiser_goes_on_to_the_same_bits(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Maker
) -> None:
    monkeypatch.setattr(optimizers, "optimizer_for", make)
    run = RunInputs(shapes, TINY, 0, ONE_THREAD)
    straight = results(run, tmp_path / "straight")
    assert interrupt(run, tmp_path / "resumed", monkeypatch).is_file()
    notes: list[str] = []
    recorder.complete(run, EVERYTHING, tmp_path / "resumed", lambda *told: notes.append(told[2]))
    assert notes[-1].endswith("went on after epoch 2")
    assert results(run, tmp_path / "resumed") == straight


def test_a_state_of_the_earlier_layout_is_resumed_to_the_same_bits(
    shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunInputs(shapes, TINY, 0, ONE_THREAD)
    straight = results(run, tmp_path / "straight")
    path = interrupt(run, tmp_path / "resumed", monkeypatch)
    tensors, metadata = read_tensors(path)
    assert metadata.pop("optimizer")
    prefix = "optimizer.momentum_buffer."
    earlier = {name.replace(prefix, "momentum."): tensor for name, tensor in tensors.items()}
    assert sum(name.startswith("momentum.") for name in earlier) == len(
        [name for name in tensors if name.startswith("optimizer")]
    )
    write_tensors(path, earlier, metadata)
    monkeypatch.setattr(state, "STATE_SHARE", 1e-12)
    notes: list[str] = []
    recorder.complete(run, EVERYTHING, tmp_path / "resumed", lambda *told: notes.append(told[2]))
    assert notes[-1].endswith("went on after epoch 2")
    assert results(run, tmp_path / "resumed") == straight


def test_a_value_that_cannot_be_saved_is_refused_by_name(shapes: Dataset) -> None:
    model = nn.Linear(2, 2)
    optimizer = counting(model, TINY)
    optimizer.state[model.weight]["history"] = [torch.zeros(2)]
    with pytest.raises(TypeError, match="the optimiser keeps history, a list"):
        optimizers.optimizer_state(model, optimizer)


def test_settings_that_cannot_change_are_not_saved_and_the_rate_neither() -> None:
    model = nn.Linear(2, 2)
    _, values = optimizers.optimizer_state(model, counting(model, TINY))
    assert values == '{"parameters": {}, "groups": [{"taken": 0}]}'


def capturable_adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=torch.tensor(0.01), fused=True)


@pytest.mark.parametrize(
    ("make", "refused"),
    [
        (capturable_adam, ""),
        (lambda model: adadelta(model, TINY), "not permitted when stream is capturing"),
        (lambda model: Counting(model.parameters()), "its optimiser counts them in Python"),
    ],
)
def test_steps_of_any_optimiser_are_replayed_or_refused(
    shapes: Dataset, make: Callable[[nn.Module], Any], refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_graphs, "_unrecordable", {})
    work = training(shapes, TINY, shapes.rows.training)
    weights = []
    for replayed in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 3))
        optimizer = make(model)
        plain = loop.EagerSteps(model, optimizer, work)
        steps = cuda_graphs.GraphSteps(plain, tape) if replayed else plain
        logits = torch.empty(len(shapes), shapes.classes)
        for epoch in (1, 2):
            loop.train_epoch(model, optimizer, work, epoch, logits, steps=steps)
        if isinstance(steps, cuda_graphs.GraphSteps):
            assert refused in steps.refused and bool(steps.refused) == bool(refused)
            assert (steps.replay is None) == bool(refused)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-5, atol=1e-6)
    if refused:
        assert torch.equal(weights[0], weights[1])
