"""resnet18, resnet50: the low-resolution residual networks of Data Diet, for images around 32x32.

The stem is one 3x3 convolution of stride 1, without max pooling (Paul, Ganguli, Dziugaite 2021,
https://arxiv.org/abs/2107.07075, appendix B.2). The blocks are those of He et al. 2015,
https://arxiv.org/abs/1512.03385, version 1, with the stride of a bottleneck in its 3x3 convolution.
The scale of the last batch norm of each block starts at zero, as in Data Diet's code. This affects
grand@0.
"""

import torch
from torch import nn
from torch.nn import functional

NAMES = ["resnet18", "resnet50"]
BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
WIDTHS = (64, 128, 256, 512)


class ResidualBlock(nn.Module):
    """A chain of convolutions and batch norms, which is added to its input.

    Where the shape changes, the input is projected by a 1x1 convolution.
    """

    def __init__(
        self, inputs: int, width: int, outputs: int, stride: int, bottleneck: bool
    ) -> None:
        super().__init__()
        if bottleneck:
            shapes = [(inputs, width, 1, 1), (width, width, 3, stride), (width, outputs, 1, 1)]
        else:
            shapes = [(inputs, outputs, 3, stride), (outputs, outputs, 3, 1)]
        self.convolutions = nn.ModuleList(_convolution(*shape) for shape in shapes)
        self.norms = nn.ModuleList(nn.BatchNorm2d(shape[1]) for shape in shapes)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                _convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs)
            )
        last = self.norms[-1]
        assert isinstance(last, nn.BatchNorm2d)
        nn.init.zeros_(last.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """From (B, inputs, H, W) to (B, outputs, H / stride, W / stride)."""
        y = x
        for position, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            y = norm(convolution(y))
            if position < len(self.norms) - 1:
                y = functional.relu(y)
        return functional.relu(y + self.shortcut(x))


def build(name: str, *, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Build the network.

    Parameters
    ----------
    name
        "resnet18" or "resnet50".
    shape
        The height, width and channels of the images.
    classes
        The number of classes.

    Returns
    -------
    nn.Module
        The network.
    """
    bottleneck = name == "resnet50"
    layers: list[nn.Module] = [
        _convolution(shape[2], WIDTHS[0], 3, 1),
        nn.BatchNorm2d(WIDTHS[0]),
        nn.ReLU(),
    ]
    inputs = WIDTHS[0]
    for stage, (width, blocks) in enumerate(zip(WIDTHS, BLOCKS[name], strict=True)):
        outputs = width * 4 if bottleneck else width
        for block in range(blocks):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(ResidualBlock(inputs, width, outputs, stride, bottleneck))
            inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def classifier(model: nn.Module) -> str:
    """The name of the last layer; its input (B, 512 or 2048) is the penultimate representation."""
    return str(len(list(model.children())) - 1)


def _convolution(inputs: int, outputs: int, size: int, stride: int) -> nn.Conv2d:
    convolution = nn.Conv2d(inputs, outputs, size, stride=stride, padding=size // 2, bias=False)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    return convolution
