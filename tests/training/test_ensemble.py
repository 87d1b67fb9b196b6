"""Networks trained together are what each of them would have become alone."""

import pytest
import torch
from torch import nn

from prune_kit import models
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.processor import multiplies_bf16
from prune_kit.training import ensemble, loop, optimizers, schedule
from prune_kit.training.images import DeviceImages

N, MEMBERS, EPOCHS, SEEDS = 60, 37, 3, [5, 6, 7]  # no batch size divides 37
PLAIN = TrainConfig(
    model="mlp", epochs=EPOCHS, batch_size=8, learning_rate=0.05, schedule="triangular"
)
CHANGES = [
    {},
    {"crop_padding": 2, "flip": True},
    {"nesterov": False, "momentum": 0.0},
    {"drop_last": True},
]


def pictures(side: int = 8) -> DeviceImages:
    chance = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (N, side, side, 1), dtype=torch.uint8, generator=chance)
    return DeviceImages(pixels, torch.tensor([120.0]).double(), torch.tensor([70.0]).double())


def network(name: str, seed: int) -> nn.Module:
    return models.build(name, shape=(8, 8, 1), classes=4, seed=seed).double()


def labels() -> torch.Tensor:
    return torch.randint(0, 4, (N,), generator=torch.Generator().manual_seed(1))


def members() -> torch.Tensor:
    chance = torch.Generator().manual_seed(2)
    return torch.stack([torch.randperm(N, generator=chance)[:MEMBERS].sort().values for _ in SEEDS])


def alone(name: str, config: TrainConfig, place: int) -> nn.Module:
    """The same training by the usual loop."""
    model = network(name, SEEDS[place])
    optimizer = optimizers.optimizer_for(model, config)
    steps = schedule.steps_per_epoch(MEMBERS, config.batch_size, drop_last=config.drop_last)
    training = loop.Training(
        pictures(), labels(), members()[place], config, SEEDS[place], EPOCHS * steps, steps, "fp32"
    )
    for epoch in range(1, EPOCHS + 1):
        loop.train_epoch(model, optimizer, training, epoch)
    return model


def together(name: str, config: TrainConfig, batched_mlp: bool = True) -> ensemble.StackedModels:
    stacked = ensemble.stack(
        [network(name, seed) for seed in SEEDS], torch.device("cpu"), batched_mlp=batched_mlp
    )
    for epoch in range(1, EPOCHS + 1):
        ensemble.train_epoch(stacked, pictures(), labels(), members(), SEEDS, config, epoch)
    return stacked


@pytest.mark.parametrize("changes", CHANGES, ids=str)
@pytest.mark.parametrize(
    ("name", "batched_mlp"), [("mlp", True), ("mlp", False), ("convnet", True)]
)
def test_each_member_equals_the_same_network_trained_alone(name, batched_mlp, changes):
    config = PLAIN.changed({"model": name, **changes})
    stacked = together(name, config, batched_mlp)
    assert bool(stacked.linear) == (name == "mlp" and batched_mlp)
    for place in range(len(SEEDS)):
        model = alone(name, config, place)
        for kept, values in (
            (stacked.parameters, model.named_parameters()),
            (stacked.buffers, model.named_buffers()),
        ):
            for key, value in values:
                torch.testing.assert_close(kept[key][place], value.detach(), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "batched_mlp"), [("mlp", True), ("mlp", False), ("convnet", True)]
)
def test_what_they_say_equals_a_clean_pass_of_each(name, batched_mlp):
    stacked = together(name, PLAIN.changed({"model": name}), batched_mlp)
    rows = members()
    found = ensemble.evaluate(stacked, pictures(), rows)
    assert found.dtype == torch.float32
    for place in range(len(SEEDS)):
        expected = loop.evaluate(
            alone(name, PLAIN.changed({"model": name}), place), pictures(), "fp32", rows[place]
        )
        torch.testing.assert_close(found[place], expected, rtol=1e-5, atol=1e-6)


def test_bf16_arithmetic_stays_near_and_parameters_stay_float32():
    kept = []
    for precision in ("fp32", "bf16"):
        stacked = ensemble.stack(
            [network("mlp", s).float() for s in SEEDS], torch.device("cpu"), precision
        )
        constants = (torch.tensor([120.0]), torch.tensor([70.0]))
        shown = DeviceImages(pictures().pixels, *constants)
        ensemble.train_epoch(stacked, shown, labels(), members(), SEEDS, PLAIN, 1)
        assert {value.dtype for value in stacked.parameters.values()} == {torch.float32}
        kept.append(ensemble.evaluate(stacked, shown, members()))
    apart = float((kept[0] - kept[1]).abs().max())
    assert apart < 0.05
    if multiplies_bf16():  # other processors may make the products in fp32 all the same
        assert apart > 0


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(nn.Linear(4, 4)),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 4, bias=False)),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.ReLU()),
        nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.ReLU(), nn.Dropout(), nn.Linear(4, 2)),
        nn.Flatten(),
    ],
)
def test_only_plain_perceptrons_are_done_by_hand(model):
    assert ensemble.mlp_layers(model) == ()
    assert ensemble.mlp_layers(network("mlp", 0)) == ("1", "3", "5")


@pytest.mark.parametrize("size", [1, 2])
def test_the_bits_of_a_perceptron_do_not_depend_on_how_many_train_with_it(size):
    def trained(places: list[int]) -> list[ensemble.Tensors]:
        models = [network("mlp", SEEDS[place]).float() for place in places]
        shown = DeviceImages(pictures().pixels, torch.tensor([120.0]), torch.tensor([70.0]))
        stacked, seeds = (
            ensemble.stack(models, torch.device("cpu")),
            [SEEDS[place] for place in places],
        )
        for epoch in range(1, EPOCHS + 1):
            ensemble.train_epoch(stacked, shown, labels(), members()[places], seeds, PLAIN, epoch)
        return [
            {n: v[place] for n, v in ensemble.state(stacked).items()}
            for place in range(len(places))
        ]

    for one, other in zip(trained([0, 1, 2])[:size], trained([0, 1, 2][:size]), strict=True):
        for name, values in one.items():
            torch.testing.assert_close(values, other[name], rtol=0, atol=0)
