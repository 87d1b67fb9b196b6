"""mlp: two hidden layers of 512 and 256 units, the network of the C-score papers for MNIST.

Source: Jiang, Zhang, Talwar, Mozer 2021, https://arxiv.org/abs/2002.03206, Table 1.
"""

from torch import nn

NAMES = ["mlp"]


def build(name: str, *, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build the network, with ReLU and PyTorch's default initialisation.

    Parameters
    ----------
    name
        Not used.
    shape
        The height, width and channels of the images, which are flattened.
    classes
        The number of classes.

    Returns
    -------
    nn.Module
        The network.
    """
    height, width, channels = shape
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(height * width * channels, 512),
        nn.ReLU(),
        nn.Linear(512, 256),
        nn.ReLU(),
        nn.Linear(256, classes),
    )


def classifier(model: nn.Module) -> str:
    """The name of the last layer, whose input (B, 256) is the penultimate representation."""
    return "5"
