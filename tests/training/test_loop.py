import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from prune_kit import models, randomness
from prune_kit.data.dataset import Dataset
from prune_kit.errors import RunError
from prune_kit.protocol.config import TrainConfig
from prune_kit.training import images, loop, optimizers, schedule
from tests.conftest import TINY

CPU = torch.device("cpu")


def training(
    data: Dataset,
    config: TrainConfig,
    members: np.ndarray,
    total_steps: int | None = None,
    device: torch.device = CPU,
) -> loop.Training:
    steps = schedule.steps_per_epoch(len(members), config.batch_size, drop_last=config.drop_last)
    return loop.Training(
        images=images.on_device(data.images, *images.normalisation(data), device),
        labels=torch.from_numpy(data.labels).to(device),
        members=torch.from_numpy(members).to(device),
        config=config,
        seed=5,
        total_steps=total_steps or config.epochs * steps,
        epoch_steps=steps,
        precision="fp32",
    )


@pytest.mark.parametrize("nesterov", [True, False])
def test_an_epoch_equals_the_obvious_loop_with_hand_written_sgd(
    shapes: Dataset, nesterov: bool
) -> None:
    config = TINY.changed({"nesterov": nesterov, "schedule": "cosine", "weight_decay": 0.01})
    members = shapes.rows.training[:50]
    work = training(shapes, config, members)
    model = models.build(config.model, shape=shapes.shape, classes=shapes.classes, seed=0)
    plain = copy.deepcopy(model)
    optimizer = optimizers.optimizer_for(model, config)
    logits = torch.full((len(shapes), shapes.classes), torch.nan)
    for epoch in (1, 2):
        loop.train_epoch(model, optimizer, work, epoch, logits)

    mean, deviation = images.normalisation(shapes)
    pixels = torch.from_numpy(
        ((shapes.images - mean) / deviation).transpose(0, 3, 1, 2).astype(np.float32)
    )
    momentum = [torch.zeros_like(p) for p in plain.parameters()]
    step, seen = 0, {}
    plain.train()
    for epoch in (1, 2):
        order = members[
            torch.randperm(50, generator=randomness.generator(5, "epoch", epoch)).numpy()
        ]
        for start in range(0, 50, 16):
            rows = order[start : start + 16]
            output = plain(pixels[rows])
            seen |= {int(row): z for row, z in zip(rows, output.detach(), strict=True)}
            gradients = torch.autograd.grad(
                functional.cross_entropy(output, torch.from_numpy(shapes.labels[rows])),
                list(plain.parameters()),
            )
            rate = 0.05 * 0.5 * (1 + np.cos(np.pi * step / work.total_steps))
            with torch.no_grad():
                for p, g, m in zip(plain.parameters(), gradients, momentum, strict=True):
                    g = g + 0.01 * p
                    m.mul_(0.9).add_(g)
                    p -= rate * (g + 0.9 * m if nesterov else m)
            step += 1
    for ours, obvious in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, obvious, rtol=1e-3, atol=1e-5)
    for row, z in seen.items():
        torch.testing.assert_close(logits[row], z, rtol=1e-3, atol=1e-4)
    assert logits.isnan().any(dim=1).sum() == len(shapes) - 50


def test_logits_are_those_before_the_step(shapes: Dataset) -> None:
    config = TINY.changed({"batch_size": 100, "model": "mlp"})
    work = training(shapes, config, shapes.rows.training)
    model = models.build("mlp", shape=shapes.shape, classes=shapes.classes, seed=0)
    before = loop.evaluate(model, work.images, "fp32").clone()
    logits = torch.full((len(shapes), shapes.classes), torch.nan)
    loop.train_epoch(model, optimizers.optimizer_for(model, config), work, 1, logits)
    torch.testing.assert_close(logits, before)


def test_training_stops_at_the_last_step_in_mid_epoch(shapes: Dataset) -> None:
    work = training(shapes, TINY, shapes.rows.training, total_steps=7)  # 5 steps an epoch
    assert work.epochs == 2
    model = models.build(TINY.model, shape=shapes.shape, classes=shapes.classes, seed=0)
    optimizer = optimizers.optimizer_for(model, TINY)
    assert loop.train_epoch(model, optimizer, work, 1) == 77
    assert loop.train_epoch(model, optimizer, work, 2) == 32


def test_a_sweep_leaves_batch_norm_alone_and_does_not_depend_on_its_batch(
    shapes: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = training(shapes, TINY, shapes.rows.training)
    model = models.build(TINY.model, shape=shapes.shape, classes=shapes.classes, seed=0)
    loop.train_epoch(model, optimizers.optimizer_for(model, TINY), work, 1)
    state = copy.deepcopy(model.state_dict())
    whole = loop.evaluate(model, work.images, "fp32")
    monkeypatch.setattr(loop, "EVALUATION_BATCH", {"cpu": 10})
    torch.testing.assert_close(loop.evaluate(model, work.images, "fp32"), whole)
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def test_a_sweep_goes_on_in_halves_when_memory_runs_out(shapes: Dataset) -> None:
    work = training(shapes, TINY, shapes.rows.training)
    sizes: list[int] = []

    class Greedy(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            sizes.append(len(batch))
            if len(batch) > 20:
                raise MemoryError
            return batch.flatten(1)[:, :3]

    found = loop.evaluate(Greedy(), work.images, "fp32")
    assert torch.equal(found, work.images.batch(slice(0, 77)).flatten(1)[:, :3])
    assert sizes == [77, 77, 62, 31, 15, 15, 15, 15, 15, 2]


def test_an_example_that_does_not_fit_into_memory_is_an_error(shapes: Dataset) -> None:
    work = training(shapes, TINY, shapes.rows.training)

    class Huge(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            raise MemoryError

    with pytest.raises(
        RunError, match="the clean pass of a single example does not fit into memory"
    ):
        loop.evaluate(Huge(), work.images, "fp32")


def test_other_errors_of_a_sweep_pass(shapes: Dataset) -> None:
    work = training(shapes, TINY, shapes.rows.training)

    class Broken(torch.nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes do not match"):
        loop.evaluate(Broken(), work.images, "fp32")


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_network_in_its_place_learns_the_same_to_the_last_bit(
    shapes: Dataset, precision: str
) -> None:
    work = replace(training(shapes, TINY, shapes.rows.training), precision=precision)
    states = []
    for place in (
        lambda model: loop.placed(model, CPU),
        lambda model: model.to(memory_format=torch.channels_last),
    ):
        model = place(models.build("convnet", shape=shapes.shape, classes=3, seed=0))
        loop.train_epoch(model, optimizers.optimizer_for(model, TINY), work, 1)
        states.append(model.state_dict())
    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())


def test_the_gradient_of_a_global_average_keeps_the_layout() -> None:
    seen: list[torch.Tensor] = []
    model = loop.placed(
        torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1)), CPU
    )
    model[0].register_full_backward_hook(lambda _, __, received: seen.append(received[0]))
    model(torch.randn(2, 3, 8, 8, requires_grad=True)).sum().backward()
    assert seen[0].is_contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        model(torch.randn(2, 3, 8, 8))


@pytest.mark.parametrize(("device", "inside"), [("cpu", "highest"), ("cuda", "high")])
def test_float32_products_use_tf32_on_a_gpu_alone_and_for_a_while(device: str, inside: str) -> None:
    with pytest.raises(KeyboardInterrupt), loop.in_tf32(torch.device(device)):
        assert torch.get_float32_matmul_precision() == inside
        raise KeyboardInterrupt
    assert torch.get_float32_matmul_precision() == "highest"
