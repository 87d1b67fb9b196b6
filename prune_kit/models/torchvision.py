"""torchvision:NAME: any classification network of torchvision, initialised, never downloaded.

Library: https://docs.pytorch.org/vision/stable/models.html.
"""

from torch import nn

from prune_kit import registry
from prune_kit.errors import ModelError

NAMES = ["torchvision:"]


def build(name: str, *, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build the network, fitted to the images.

    `num_classes` and, where the network takes it, `image_size` are set. The first convolution is
    fitted to the channels.

    Parameters
    ----------
    name
        "torchvision:" and the name of a classification network.
    shape
        The height, width and channels of the images.
    classes
        The number of classes.

    Returns
    -------
    nn.Module
        The network.

    Raises
    ------
    ModelError
        If the name is unknown, or the network cannot be built for such images.
    """
    from torchvision import models

    entry = name.removeprefix("torchvision:")
    known = models.list_models(module=models)
    if entry not in known:
        raise registry.unknown_name_error("torchvision model", entry, known, ModelError)
    height, width, channels = shape
    options: dict[str, int] = {"num_classes": classes}
    if entry.startswith("vit"):
        if height != width:
            raise ModelError(f"{name} requires square images; these are {height}x{width}")
        options["image_size"] = height
    if entry in ("googlenet", "inception_v3"):
        options |= {"aux_logits": False, "init_weights": True}
    try:
        model: nn.Module = models.get_model(entry, **options)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ModelError(
            f"{name} cannot be built for {height}x{width}x{channels} images: {error}"
        ) from error
    if channels != 3:
        _fit_channels(model, channels)
    return model


def classifier(model: nn.Module) -> str:
    """The name of the last linear layer or convolution (as in SqueezeNet)."""
    names: list[str] = [
        name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)
    ]
    return names[-1]


def _fit_channels(model: nn.Module, channels: int) -> None:
    """Replace the first convolution by one of `channels` planes that is otherwise the same."""
    name, first = next((n, m) for n, m in model.named_modules() if isinstance(m, nn.Conv2d))
    fitted = nn.Conv2d(
        channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]  # torch keeps it as a tuple of any length
        stride=first.stride,  # type: ignore[arg-type]
        padding=first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, fitted)
