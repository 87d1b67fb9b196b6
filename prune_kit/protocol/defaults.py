"""The protocol of each data set, where neither a file, a flag nor a recipe says otherwise."""

from collections.abc import Mapping
from typing import Any

from prune_kit.data.dataset import Dataset
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.setup import Setup

# Paul, Ganguli, Dziugaite 2021, https://arxiv.org/abs/2107.07075, appendix B.2
DATA_DIET = TrainConfig(
    model="resnet18", epochs=200, milestones=(60, 120, 160), crop_padding=4, flip=True
)

PROTOCOLS = {
    "digits": TrainConfig(
        model="convnet", epochs=40, batch_size=64, learning_rate=0.05, schedule="cosine"
    ),
    "mnist": TrainConfig(model="mlp", epochs=20, schedule="cosine"),
    "fashion-mnist": TrainConfig(model="mlp", epochs=20, schedule="cosine"),
    "cifar10": DATA_DIET,
    "cifar100": DATA_DIET,
}
SCORE_EPOCH = {"mnist": 10, "fashion-mnist": 10}
DEFAULT_SCORE_EPOCH = 20


def protocol(data: Dataset) -> TrainConfig:
    """The training protocol for a data set: by its name, else by the kind of its images.

    Grey images up to 32 pixels train the small convnet as digits do; other images up to 64 pixels
    train Data Diet's ResNet-18; larger ones torchvision's ResNet-18, with the stem made for them.
    """
    if data.name in PROTOCOLS:
        return PROTOCOLS[data.name]
    side, channels = max(data.shape[:2]), data.shape[2]
    if side <= 32 and channels == 1:
        return PROTOCOLS["digits"]
    return DATA_DIET if side <= 64 else DATA_DIET.changed({"model": "torchvision:resnet18"})


def score_epoch(data: Dataset, config: TrainConfig) -> int:
    """The epoch at which scores are taken when none is asked for."""
    return min(SCORE_EPOCH.get(data.name, DEFAULT_SCORE_EPOCH), config.epochs)


def chosen_protocol(
    data: Dataset,
    *,
    config: TrainConfig | None = None,
    earlier: Setup | None = None,
    changes: Mapping[str, Any] | None = None,
) -> TrainConfig:
    """The protocol to train by: `config`, else the one of an `earlier` file, else the data set's.

    Parameters
    ----------
    data
        The data set, whose own protocol is the last choice.
    config
        The protocol, if one was given.
    earlier
        How the networks of an earlier file were made. It counts where `config` is None.
    changes
        New values, by the name of the field. A value that is None changes nothing.

    Raises
    ------
    OptionError
        If a change does not fit.
    """
    if config is None:
        config = earlier.protocol if earlier else protocol(data)
    given = {name: value for name, value in (changes or {}).items() if value is not None}
    return config.changed(given)
