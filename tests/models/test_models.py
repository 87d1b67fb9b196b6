import copy

import pytest
import torch
from torch import nn

from prune_kit import models
from prune_kit.errors import ModelError

BUILT = [
    ("mlp", (28, 28, 1), 256),
    ("convnet", (8, 8, 1), 64),
    ("convnet", (28, 28, 1), 128),
    ("resnet18", (32, 32, 3), 512),
    ("resnet50", (16, 16, 3), 2048),
    ("timm:resnet18", (32, 32, 1), 512),
    ("timm:vit_tiny_patch16_224", (32, 32, 3), 192),
    ("torchvision:vgg11_bn", (32, 32, 3), 4096),
    ("torchvision:resnet18", (32, 32, 1), 512),
]


def build(name: str, shape: tuple[int, int, int], classes: int = 7, seed: int = 0) -> nn.Module:
    return models.build(name, shape=shape, classes=classes, seed=seed)


@pytest.mark.parametrize(("name", "shape", "width"), BUILT)
def test_a_network_fits_the_images_and_names_its_penultimate_layer(
    name: str, shape: tuple[int, int, int], width: int
) -> None:
    model = build(name, shape).eval()
    images = torch.rand(2, shape[2], shape[0], shape[1], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert model(images).shape == (2, 7)
        hidden = models.penultimate(name, model, images)
        assert hidden.shape == (2, width)
        assert not any(module._forward_pre_hooks for module in model.modules())


def test_initialisation_depends_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = build("convnet", (8, 8, 1)).state_dict()
    torch.manual_seed(2)
    again, other = (
        build("convnet", (8, 8, 1)).state_dict(),
        build("convnet", (8, 8, 1), seed=1).state_dict(),
    )
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["0.weight"], other["0.weight"])


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_the_low_resolution_residual_networks_differ_from_torchvisions_by_the_stem_alone(
    name: str,
) -> None:
    """Its 7x7 convolution of 3 to 64 planes is 3x3 here; the rest has the same parameters."""
    ours, theirs = (
        build(name, (32, 32, 3), classes=10),
        build(f"torchvision:{name}", (32, 32, 3), classes=10),
    )
    counts = [
        sum(parameter.numel() for parameter in model.parameters()) for model in (ours, theirs)
    ]
    assert counts[0] == counts[1] - 7 * 7 * 3 * 64 + 3 * 3 * 3 * 64


def test_residual_blocks_start_as_the_identity() -> None:
    norms = [
        block.norms[-1]
        for block in build("resnet18", (8, 8, 3)).modules()
        if hasattr(block, "norms")
    ]
    assert len(norms) == 8
    assert all(not norm.weight.any() for norm in norms)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet19", "unknown model 'resnet19'. Did you mean 'resnet18'?"),
        ("timm:resnet_18", "timm does not have the model 'resnet_18'"),
        ("torchvision:resnet19", "unknown torchvision model 'resnet19'. Did you mean"),
        ("torchvision:vit_b_16", "requires square images; these are 16x32"),
    ],
)
def test_a_network_that_cannot_be_built_is_refused(name: str, message: str) -> None:
    with pytest.raises(ModelError) as caught:
        build(name, (16, 32, 3))
    assert message in str(caught.value)


def test_a_network_that_does_not_take_such_images_is_refused_before_anything_is_trained() -> None:
    with pytest.raises(ModelError, match="torchvision:alexnet does not take 8x8x3 images"):
        build("torchvision:alexnet", (8, 8, 3))


def test_every_listed_name_is_of_a_family() -> None:
    assert models.model_names() == [
        "convnet",
        "mlp",
        "resnet18",
        "resnet50",
        "timm:",
        "torchvision:",
    ]


def test_the_convnet_halves_before_the_relu_what_it_could_halve_after_it() -> None:
    """The ReLU of a maximum is the maximum of the ReLUs, with the same gradients."""
    ours = models.build("convnet", shape=(20, 20, 3), classes=4, seed=0)
    layers = list(copy.deepcopy(ours).children())
    for place in (2, 6):
        assert isinstance(layers[place], nn.MaxPool2d) and isinstance(layers[place + 1], nn.ReLU)
        layers[place], layers[place + 1] = layers[place + 1], layers[place]
    other = nn.Sequential(*layers)
    images = torch.randn(8, 3, 20, 20, generator=torch.Generator().manual_seed(0))
    outputs = [model(images) for model in (ours, other)]
    assert torch.equal(*outputs)
    for output in outputs:
        output.square().sum().backward()
    for one, same in zip(ours.parameters(), other.parameters(), strict=True):
        assert torch.equal(one.grad, same.grad)
