"""The recomputed statistics against numpy's, in float64, and what must not change."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from prune_kit import models
from prune_kit.measures.gradients import batch_norm
from prune_kit.measures.gradients.batch_norm import calibrate, calibrate_on_data
from prune_kit.training.images import normalisation, on_device
from tests.conftest import ONE_THREAD, shapes_data

timm = pytest.importorskip("timm")
FIRST, SECOND = "1", "5"  # batch norms of the convnet


@pytest.fixture
def model() -> nn.Module:
    return models.build("convnet", shape=(8, 8, 3), classes=3, seed=0).double()


def inputs_of(count: int, channels: int = 3) -> torch.Tensor:
    rng = torch.Generator().manual_seed(5)
    values = torch.randn(count, channels, 8, 8, generator=rng, dtype=torch.float64)
    shift = torch.arange(count)[:, None, None, None] / count  # so that batches differ in their mean
    return values + shift


def statistics(model: nn.Module, name: str) -> tuple[np.ndarray, np.ndarray]:
    layer = model.get_submodule(name)
    return layer.get_buffer("running_mean").numpy(), layer.get_buffer("running_var").numpy()


def of_channels(values: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The mean and unbiased variance of each channel of (B, C, H, W), by numpy."""
    rows = values.detach().numpy().transpose(0, 2, 3, 1).reshape(-1, values.shape[1])
    return rows.mean(axis=0), rows.var(axis=0, ddof=1)


def test_one_batch_of_all_data_gives_each_layer_the_mean_and_variance_of_what_it_receives(
    model: nn.Module,
) -> None:
    inputs = inputs_of(40)
    training = copy.deepcopy(model).train()
    calibrate(model, [inputs])
    children = list(training.children())
    for name in (FIRST, SECOND):
        expected = of_channels(nn.Sequential(*children[: int(name)])(inputs))
        np.testing.assert_allclose(statistics(model, name), expected, rtol=1e-12, atol=1e-14)


def test_one_batch_gives_what_batch_norm_itself_would_keep_with_momentum_one(
    model: nn.Module,
) -> None:
    inputs = inputs_of(40)
    itself = copy.deepcopy(model).train()
    for layer in itself.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    itself(inputs)
    calibrate(model, [inputs])
    for name, buffer in model.named_buffers():
        if "running" in name:
            torch.testing.assert_close(buffer, itself.get_buffer(name), rtol=1e-12, atol=1e-14)


def test_the_first_layer_does_not_depend_on_how_the_rows_are_batched(model: nn.Module) -> None:
    inputs = inputs_of(41)
    by_size = []
    for size in (41, 16, 5, 2):  # the last batch is shorter: of 41, 9, 1 and 1
        calibrate(model, inputs.split(size))
        by_size.append(statistics(model, FIRST))
    expected = of_channels(model[0](inputs))  # type: ignore[index]
    np.testing.assert_allclose(by_size, [expected] * 4, rtol=1e-12, atol=1e-14)


def test_nothing_but_the_running_statistics_changes(model: nn.Module) -> None:
    model.get_submodule(FIRST).momentum = 0.3
    model.train()
    model.get_submodule(FIRST).eval()
    before = copy.deepcopy(model)
    state = list(model.modules())
    calibrate(model, [inputs_of(9)])
    for now, then in zip(state, before.modules(), strict=True):
        assert now.training == then.training
        assert getattr(now, "momentum", None) == getattr(then, "momentum", None)
        assert not now._forward_pre_hooks
    for name, value in model.state_dict().items():
        assert torch.equal(value, before.state_dict()[name]) == ("running" not in name), name


def test_statistics_of_before_do_not_matter(model: nn.Module) -> None:
    spoiled = copy.deepcopy(model)
    spoiled.get_buffer(f"{FIRST}.running_mean").fill_(torch.nan)
    for network in (model, spoiled):
        calibrate(network, inputs_of(20).split(6))
    assert all(torch.equal(a, b) for a, b in zip(model.buffers(), spoiled.buffers(), strict=True))


def test_an_interrupted_pass_leaves_the_network_as_it_was(model: nn.Module) -> None:
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(RuntimeError):
        calibrate(model, [inputs_of(4), inputs_of(4, channels=2)])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_network_without_batch_norm_is_not_run() -> None:
    network = models.build("mlp", shape=(8, 8, 3), classes=3, seed=0)
    calibrate(network, [torch.zeros(1)])  # a batch that the network would refuse


def test_layers_derived_from_batch_norm_are_calibrated_without_their_dropout() -> None:
    layer = timm.layers.BatchNormAct2d(3, drop_layer=nn.Dropout)
    inputs = inputs_of(20).float()
    calibrate(nn.Sequential(layer, nn.BatchNorm2d(3)), [inputs])
    np.testing.assert_allclose(statistics(layer, ""), of_channels(inputs), rtol=1e-5)
    assert layer.training and layer.drop.training


def test_the_data_pass_takes_the_training_rows_shuffled_in_equal_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = shapes_data()
    passed = []
    monkeypatch.setattr(batch_norm, "BATCH", 38)  # 77 rows: by 38 each, one row would be left over
    monkeypatch.setattr(batch_norm, "calibrate", lambda _, batches: passed.append(list(batches)))
    for seed in (0, 0, 1):
        calibrate_on_data(nn.Identity(), data, ONE_THREAD, seed)
    assert [len(batch) for batch in passed[0]] == [26, 26, 25]
    first, again, other = (torch.cat(batches) for batches in passed)
    inputs = on_device(data.images, *normalisation(data), torch.device("cpu")).batch(slice(None))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first, inputs)
    for shuffled in (first, other):
        assert torch.equal(
            shuffled.flatten(1).sum(1).sort().values, inputs.flatten(1).sum(1).sort().values
        )
