"""Real networks, in float64, against a loop over single examples; and the pass over a data set."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from prune_kit import models
from prune_kit.errors import RunError
from prune_kit.measures.gradients import norms, plan
from prune_kit.measures.gradients.norms import data_gradient_norms, per_example_gradient_norms
from prune_kit.protocol.execution import ResolvedExecution
from prune_kit.training import out_of_memory
from prune_kit.training.images import normalisation, on_device
from tests.conftest import ONE_THREAD, shapes_data

timm = pytest.importorskip("timm")
CLASSES = 5
SMALL_SWIN = {
    "img_size": 32,
    "window_size": 4,
    "depths": (2, 2),
    "num_heads": (2, 4),
    "embed_dim": 16,
}
SMALL_VIT = {"img_size": 32, "depth": 3}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small layers are faster with one thread, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def untied(model: nn.Module) -> nn.Module:
    """The network in float64, with random batch statistics and without zeros and ones.

    So no gradient vanishes.
    """
    rng = torch.Generator().manual_seed(1)
    model = model.double()
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.normal_(0, 0.3, generator=rng)
            module.running_var.uniform_(0.5, 2, generator=rng)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=rng, dtype=parameter.dtype)
            parameter += 0.02 * noise
    return model


def batch_of(count: int, *shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(2)
    inputs = torch.randn(count, *shape, generator=rng, dtype=torch.float64)
    return inputs, torch.randint(0, CLASSES, (count,), generator=rng)


def one_by_one(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The definition: forward, backward, norm, for one example after the other."""
    model = copy.deepcopy(model).eval().requires_grad_(True)
    norms = []
    for row in range(len(inputs)):
        model.zero_grad()
        functional.cross_entropy(model(inputs[row : row + 1]), labels[row : row + 1]).backward()
        norms.append(
            torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
        )
    return torch.stack(norms)


def ways_of(model: nn.Module) -> set[str]:
    """The ways that the parameters of a network took in the last batch of more than one."""
    return set(list(norms._plans[model].values())[-1].ways.values())


def assert_exact(model: nn.Module, inputs: torch.Tensor, labels: torch.Tensor) -> None:
    norms = per_example_gradient_norms(model, inputs, labels)
    torch.testing.assert_close(norms, one_by_one(model, inputs, labels), rtol=1e-9, atol=0)


@pytest.mark.parametrize(
    ("name", "side", "batches"),
    [
        ("mlp", 8, (1, 7, 64)),
        ("convnet", 8, (1, 7, 64)),
        ("convnet", 20, (7,)),
        ("resnet18", 8, (1, 7)),
        ("resnet50", 8, (3,)),
    ],
)
def test_our_networks_are_exact_and_all_closed_forms(
    name: str, side: int, batches: tuple[int, ...]
) -> None:
    model = untied(models.build(name, shape=(side, side, 3), classes=CLASSES, seed=0))
    for count in batches:
        assert_exact(model, *batch_of(count, 3, side, side))
    assert ways_of(model) == {plan.CLOSED}


@pytest.mark.parametrize(
    ("name", "side", "options", "count"),
    [
        ("resnet18", 32, {}, 3),
        ("convnext_atto", 32, {}, 3),
        ("vit_tiny_patch16_224", 32, SMALL_VIT, 7),
        ("mobilenetv3_small_050", 32, {}, 7),
        ("swin_tiny_patch4_window7_224", 32, SMALL_SWIN, 7),
        ("mixer_s32_224", 64, {"img_size": 64}, 3),
        ("regnetx_002", 32, {}, 3),
        ("densenet121", 32, {"block_config": (2, 2)}, 7),
    ],
)
def test_networks_of_timm_are_exact_without_single_examples(
    name: str, side: int, options: dict, count: int
) -> None:  # type: ignore[type-arg]
    model = untied(timm.create_model(name, num_classes=CLASSES, **options))
    inputs, labels = batch_of(count, 3, side, side)
    assert_exact(model, inputs, labels)
    assert plan.SINGLE not in ways_of(model)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "side", "count"),
    [
        ("resnet18", 8, 64),
        ("resnet50", 16, 7),
        ("timm:efficientnet_b0", 32, 7),
        ("timm:swin_tiny_patch4_window7_224", 56, 3),
        ("timm:convnext_femto", 64, 7),
        ("timm:vit_tiny_patch16_224", 48, 64),
        ("timm:densenet121", 32, 7),
        ("torchvision:vgg11_bn", 32, 3),
    ],
)
def test_large_networks_are_exact(name: str, side: int, count: int) -> None:
    model = untied(models.build(name, shape=(side, side, 3), classes=CLASSES, seed=0))
    assert_exact(model, *batch_of(count, 3, side, side))


@pytest.mark.slow
def test_levit_which_caches_its_attention_biases_in_eval_mode_is_exact() -> None:
    model = untied(timm.create_model("levit_128s", num_classes=CLASSES)).eval()
    inputs, labels = batch_of(3, 3, 224, 224)
    with torch.no_grad():
        model(inputs)  # fills the caches
    norms = per_example_gradient_norms(model, inputs, labels)
    expected = []
    for row in range(3):
        model.train()
        model.eval()  # empties the caches
        model.zero_grad()
        # Two of each, because the batch norm of torch 2.14 has a wrong gradient here for a batch of
        # one on the CPU.
        (functional.cross_entropy(model(inputs[[row, row]]), labels[[row, row]])).backward()
        expected.append(
            torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).norm()
        )
    torch.testing.assert_close(norms, torch.stack(expected), rtol=1e-9, atol=0)
    assert plan.SINGLE not in ways_of(model)


def test_the_sum_over_a_data_set_does_not_depend_on_the_batch_size() -> None:
    model = untied(models.build("convnet", shape=(8, 8, 3), classes=CLASSES, seed=0))
    inputs, labels = batch_of(77, 3, 8, 8)
    sums = [
        sum(
            per_example_gradient_norms(model, x, y).sum().item()
            for x, y in zip(inputs.split(size), labels.split(size), strict=True)
        )
        for size in (1, 7, 64, 77)
    ]
    np.testing.assert_allclose(sums, sums[0], rtol=1e-12)


def test_float32_is_close_and_channels_last_too() -> None:
    model = untied(models.build("convnet", shape=(20, 20, 3), classes=CLASSES, seed=0))
    inputs, labels = batch_of(9, 3, 20, 20)
    expected = per_example_gradient_norms(model, inputs, labels).float()
    single = copy.deepcopy(model).float()
    torch.testing.assert_close(
        per_example_gradient_norms(single, inputs.float(), labels), expected, rtol=1e-4, atol=0
    )
    last = single.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    norms = per_example_gradient_norms(
        last, inputs.float().to(memory_format=torch.channels_last), labels
    )
    torch.testing.assert_close(norms, expected, rtol=1e-4, atol=0)


def test_an_empty_batch_has_no_norms_and_a_network_without_parameters_has_zeros() -> None:
    inputs, labels = batch_of(4, CLASSES)
    assert per_example_gradient_norms(
        nn.Linear(CLASSES, CLASSES).double(), inputs[:0], labels[:0]
    ).shape == (0,)
    assert per_example_gradient_norms(nn.ReLU(), inputs, labels).tolist() == [0, 0, 0, 0]


@pytest.fixture
def model() -> nn.Module:
    return models.build("convnet", shape=(8, 8, 1), classes=3, seed=4)


def test_the_data_pass_equals_single_examples_whatever_the_batch(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shapes_data()
    inputs = on_device(data.images, *normalisation(data), torch.device("cpu")).batch(slice(None))
    expected = one_by_one(model, inputs, torch.from_numpy(data.labels)).numpy()
    np.testing.assert_allclose(data_gradient_norms(model, data, ONE_THREAD)[0], expected, rtol=1e-4)
    monkeypatch.setitem(norms.LARGEST_BATCH, "cpu", 10)
    np.testing.assert_allclose(data_gradient_norms(model, data, ONE_THREAD)[0], expected, rtol=1e-4)


def test_a_batch_that_does_not_fit_is_halved_until_it_does(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shapes_data()
    honest = norms._norms
    sizes = []

    def forgetful(
        chosen: plan.Plan, copied: nn.Module, inputs: torch.Tensor, *rest: object
    ) -> torch.Tensor:
        sizes.append(len(inputs))
        if len(inputs) > 10:
            raise RuntimeError(
                "[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"
            )
        return honest(chosen, copied, inputs, *rest)  # type: ignore[arg-type]

    expected = data_gradient_norms(model, data, ONE_THREAD)[0]
    monkeypatch.setattr(norms, "_norms", forgetful)
    np.testing.assert_allclose(data_gradient_norms(model, data, ONE_THREAD)[0], expected, rtol=1e-5)
    assert sizes[:4] == [77, 38, 19, 9] and set(sizes[3:-1]) == {9}


def test_one_example_that_does_not_fit_is_an_error_and_other_errors_stay_what_they_are() -> None:
    assert out_of_memory.halved(9, MemoryError(), "the gradient norm") == 4
    with pytest.raises(RunError, match="single example"):
        out_of_memory.halved(
            1, torch.cuda.OutOfMemoryError("CUDA out of memory"), "the gradient norm"
        )
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        out_of_memory.halved(
            8, RuntimeError("mat1 and mat2 shapes cannot be multiplied"), "the gradient norm"
        )


def test_the_batch_is_as_large_as_the_memory_allows(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shapes_data()
    honest = norms._norms
    sizes = []
    monkeypatch.setattr(
        norms, "_norms", lambda *given: sizes.append(len(given[2])) or honest(*given)
    )
    monkeypatch.setattr(norms, "activation_budget", lambda device: 600_000)
    data_gradient_norms(model, data, ONE_THREAD)
    assert 2 <= sizes[0] < 77


def test_bf16_is_taken_only_where_it_hardly_changes_a_norm(
    model: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = shapes_data()
    half = ResolvedExecution(device="cpu", precision="bf16", threads=1, gradient_precision="bf16")
    exact, arithmetic = data_gradient_norms(model, data, ONE_THREAD)
    assert arithmetic == "fp32"
    monkeypatch.setattr(norms, "BF16_ERROR", 0.0)
    refused, arithmetic = data_gradient_norms(model, data, half)
    assert arithmetic == "fp32"
    np.testing.assert_array_equal(refused, exact)
    monkeypatch.setattr(norms, "BF16_ERROR", 1.0)
    coarse, arithmetic = data_gradient_norms(model, data, half)
    assert arithmetic == "bf16"
    assert 0 < np.abs(coarse / exact - 1).max() < 0.2


def test_the_arithmetic_names_tf32_where_a_gpu_may_use_it(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu = torch.device("cuda")
    assert norms.arithmetic("fp32", torch.device("cpu")) == "fp32"
    assert (
        norms.arithmetic("fp32", gpu) == "fp32 (TF32 allowed)"
    )  # torch's default for convolutions
    assert norms.arithmetic("bf16", gpu) == "bf16"
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    assert norms.arithmetic("fp32", gpu) == "fp32"
