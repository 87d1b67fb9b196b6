"""timm:NAME: any network of the timm library, freshly initialised and never downloaded.

Library: https://github.com/huggingface/pytorch-image-models.
"""

import inspect
from typing import Any

from torch import nn

from prune_kit.errors import ModelError

NAMES = ["timm:"]


def build(name: str, *, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build the network, fitted to the images.

    `in_chans`, `num_classes` and, where the network takes it, `img_size` are set.

    Parameters
    ----------
    name
        "timm:" and the name of a model of timm.
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
        If timm does not have the model, or cannot build it for such images.
    """
    import timm

    entry = name.removeprefix("timm:")
    if not timm.is_model(entry):
        near = timm.list_models(f"*{entry}*")[:5]
        raise ModelError(
            f"timm does not have the model {entry!r}. "
            + (f"Similar names: {', '.join(near)}" if near else "See timm.list_models()")
        )
    height, width, channels = shape
    options: dict[str, Any] = {"in_chans": channels, "num_classes": classes, "pretrained": False}
    try:
        try:
            model: nn.Module = timm.create_model(entry, img_size=(height, width), **options)
        except TypeError as error:
            # Most convolutional networks do not take a size. Any other message is a real error.
            if "img_size" not in str(error):
                raise
            model = timm.create_model(entry, **options)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ModelError(
            f"{name} cannot be built for {height}x{width}x{channels} images: {error}"
        ) from error
    if not inspect.ismethod(getattr(model, "get_classifier", None)):
        raise ModelError(f"{name} is not a classifier")
    return model


def classifier(model: nn.Module) -> str:
    """The name of the module that timm calls the classifier."""
    module = model.get_classifier()  # type: ignore[operator]  # timm's method, unknown to nn.Module
    names: list[str] = [name for name, other in model.named_modules() if other is module]
    return names[0]
