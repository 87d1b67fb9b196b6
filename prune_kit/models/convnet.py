"""convnet: three 3x3 convolutions with batch norm, for small images such as digits (8x8) and MNIST (28x28)."""

from torch import nn

NAMES = ["convnet"]
WIDTHS, SMALL_WIDTHS, SMALL_SIDE = (32, 64, 128), (16, 32, 64), 16


def build(name: str, *, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """Convolution, batch norm and ReLU three times, halving the image in the first two; global average; linear.

    The image is halved before the ReLU, which gives the same values and gradients as after it, from
    a quarter of them. Widths 32, 64, 128, and half of that for images up to 16 pixels; PyTorch's
    default initialisation. The smallest image is 4x4.
    """
    channels = shape[2]
    layers: list[nn.Module] = []
    for position, width in enumerate(SMALL_WIDTHS if max(shape[:2]) <= SMALL_SIDE else WIDTHS):
        layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)]
        layers += [nn.MaxPool2d(2), nn.ReLU()] if position < 2 else [nn.ReLU()]
        channels = width
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    )


def classifier(model: nn.Module) -> str:
    """The last layer; its input (B, 128 or 64) is the penultimate representation."""
    return str(len(list(model.children())) - 1)
