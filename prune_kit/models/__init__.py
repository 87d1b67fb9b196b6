"""Networks by name: `mlp`, `convnet`, `resnet18`, `resnet50`, `timm:NAME`, `torchvision:NAME`.

One file a family. `ModelFamily` says what its module must have.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from prune_kit import registry
from prune_kit.errors import ModelError

if TYPE_CHECKING:
    import torch
    from torch import nn


@runtime_checkable
class ModelFamily(Protocol):
    """What a module of this folder must have.

    Attributes
    ----------
    NAMES
        The names of the networks that it builds, a literal above its first function. A name that
        ends in ":" stands for a whole library.
    """

    NAMES: list[str]

    def build(self, name: str, *, shape: tuple[int, int, int], classes: int) -> "nn.Module":
        """A network with fresh weights, drawn from the global generator of torch.

        Parameters
        ----------
        name
            One of NAMES, or a name of the library.
        shape
            The height, width and channels of the images.
        classes
            The number of classes.

        Raises
        ------
        ModelError
            If there is no such network, or if it does not take such images.
        """

    def classifier(self, model: "nn.Module") -> str:
        """The name of the module whose input is the penultimate representation."""


def model_names() -> list[str]:
    """The names that `list models` lists. Torch is not imported."""
    return list(model_summaries())


def model_summaries() -> dict[str, str]:
    """The one-line description of each name's family. Torch is not imported."""
    return {
        name: registry.summary(__name__, family)
        for family in registry.module_names(__name__)
        for name in registry.literal(Path(__file__).with_name(f"{family}.py"), "NAMES")
    }


def check_name(name: str) -> None:
    """Raise ModelError unless a family builds networks of this name. Torch is not imported."""
    if not any(_fits(name, known) for known in model_names()):
        names = [f"{known}NAME" if known.endswith(":") else known for known in model_names()]
        raise registry.unknown_name_error("model", name, names, ModelError)


def _fits(name: str, known: str) -> bool:
    whole_library = known.endswith(":")
    return name.startswith(known) and name != known if whole_library else name == known


def build(name: str, *, shape: tuple[int, int, int], classes: int, seed: int) -> "nn.Module":
    """Build a freshly initialised network, on the CPU and in float32.

    Parameters
    ----------
    name
        The name of the network.
    shape
        The height, width and channels of the images.
    classes
        The number of classes.
    seed
        The seed of the initialisation, which depends on nothing else. The global generator does not
        change.

    Returns
    -------
    nn.Module
        The network, from normalised images (B, channels, height, width) to logits (B, classes).

    Raises
    ------
    ModelError
        If the name is unknown, or the network does not take such images.
    """
    from prune_kit.randomness import seeded

    family = _family(name)
    with seeded(seed, "initialisation"):
        model = family.build(name, shape=shape, classes=classes)
    _try(name, model, shape)
    return model


def _try(name: str, model: "nn.Module", shape: tuple[int, int, int]) -> None:
    """Raise ModelError unless the network takes images of this shape."""
    import torch

    height, width, channels = shape
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            model(torch.zeros(1, channels, height, width))
    except (RuntimeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{name} does not take {height}x{width}x{channels} images: {reason}"
        ) from error
    finally:
        model.train(training)


def penultimate(name: str, model: "nn.Module", inputs: "torch.Tensor") -> "torch.Tensor":
    """The representation that the classifier of a network receives.

    Parameters
    ----------
    name
        The name by which the network was built.
    model
        The network.
    inputs
        Normalised images (B, C, H, W), on the device of the network.

    Returns
    -------
    (B, D)
        The representations, flattened.
    """
    kept: list[torch.Tensor] = []
    classifier = model.get_submodule(_family(name).classifier(model))
    hook = classifier.register_forward_pre_hook(lambda _, received: kept.append(received[0]))
    try:
        model(inputs)
    finally:
        hook.remove()
    return kept[0].flatten(1)


def _family(name: str) -> ModelFamily:
    check_name(name)
    for family in registry.module_names(__name__):
        names = registry.literal(Path(__file__).with_name(f"{family}.py"), "NAMES")
        if any(_fits(name, known) for known in names):
            break
    module: ModelFamily = registry.load(__name__, family, "model family")
    return module
