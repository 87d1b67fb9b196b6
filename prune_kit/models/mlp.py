"""mlp: two hidden layers of 512 and 256 units, the network of the C-score papers for MNIST.

Source: Jiang, Zhang, Talwar, Mozer 2021, https://arxiv.org/abs/2002.03206, Table 1.
"""

from torch import nn

NAMES = ["mlp"]


def build(name: str, *, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Inputs of `shape` (height, width, channels), flattened; ReLU; PyTorch's default initialisation."""
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
    """The last layer; its input (B, 256) is the penultimate representation."""
    return "5"
