"""timm:NAME: any network of the timm library, freshly initialised (never downloaded).

Library: https://github.com/huggingface/pytorch-image-models.
"""

import inspect
from typing import Any

from torch import nn

from prune_kit.errors import ModelError

NAMES = ["timm:"]


def build(name: str, *, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The network with `in_chans`, `num_classes` and, where it takes one, `img_size` fitted to the images."""
    import timm

    entry = name.removeprefix("timm:")
    if not timm.is_model(entry):
        near = timm.list_models(f"*{entry}*")[:5]
        raise ModelError(
            f"timm has no model {entry!r}. "
            + (f"Near it: {', '.join(near)}" if near else "See timm.list_models()")
        )
    height, width, channels = shape
    options: dict[str, Any] = {"in_chans": channels, "num_classes": classes, "pretrained": False}
    try:
        try:
            model: nn.Module = timm.create_model(entry, img_size=(height, width), **options)
        except TypeError as error:
            if "img_size" not in str(
                error
            ):  # most convolutional networks take no size; anything else is a real error
                raise
            model = timm.create_model(entry, **options)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ModelError(
            f"{name} cannot be built for {height}x{width}x{channels} images: {error}"
        ) from error
    if not inspect.ismethod(getattr(model, "get_classifier", None)):
        raise ModelError(f"{name} is no classifier")
    return model


def classifier(model: nn.Module) -> str:
    """timm's own word for the module whose input is the penultimate representation."""
    found = model.get_classifier()  # type: ignore[operator]  # timm's method, unknown to nn.Module
    names: list[str] = [name for name, module in model.named_modules() if module is found]
    return names[0]
