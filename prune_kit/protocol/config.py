"""TrainConfig: the protocol by which a network is trained."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prune_kit import registry
from prune_kit.errors import OptionError

SCHEDULES = ("constant", "step", "triangular", "cosine")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training protocol. SGD; the schedule is that of the whole protocol, wherever a run stops.

    `epochs` of the full training set define the number of steps; `milestones` are epochs after
    which `schedule="step"` multiplies the rate by `decay`; `warmup` is the share of the steps in
    which "triangular" rises (it then falls to 0). `crop_padding` pixels of black on every side,
    then a random crop; `flip` mirrors half of the images. The last partial batch of an epoch is
    kept unless `drop_last`. `compiled` has torch.compile make the network's own kernels, which
    takes half a minute; the last bits are others. On CPUs it does not pay, on GPUs that was not
    measured (benchmarks/RESULTS.md).
    """

    model: str
    epochs: int
    batch_size: int = 128
    learning_rate: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    schedule: str = "step"
    milestones: tuple[int, ...] = ()
    decay: float = 0.2
    warmup: float = 0.15
    crop_padding: int = 0
    flip: bool = False
    drop_last: bool = False
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise registry.unknown_name_error("schedule", self.schedule, SCHEDULES)
        limits = {
            "epochs": (1, 100_000),
            "batch_size": (1, 1_000_000),
            "learning_rate": (0, 1e6),
            "momentum": (0, 1),
            "weight_decay": (0, 1e6),
            "decay": (0, 1),
            "warmup": (0, 1),
            "crop_padding": (0, 1000),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise OptionError(f"{name} = {value} is out of range {low} to {high}")
        if self.nesterov and self.momentum == 0:
            raise OptionError("nesterov = true takes a momentum above 0")

    def changed(self, changes: Mapping[str, Any]) -> "TrainConfig":
        """The same protocol with some fields replaced.

        Parameters
        ----------
        changes
            The new values, by the name of the field. A text is read as the type of its field.

        Raises
        ------
        OptionError
            If there is no such field, or if a value does not fit or is out of range.
        """
        fields = {field.name: field for field in dataclasses.fields(self)}
        fitted = {}
        for name, value in changes.items():
            if name not in fields:
                raise registry.unknown_name_error("training option", name, fields)
            fitted[name] = _fit(name, value, getattr(self, name))
        return dataclasses.replace(self, **fitted)

    def values(self) -> dict[str, Any]:
        """All fields as plain values, as files hold them.

        `compiled`, which older files lack, only where it is true.
        """
        values = dataclasses.asdict(self)
        return (
            values
            if self.compiled
            else {name: value for name, value in values.items() if name != "compiled"}
        )

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "TrainConfig":
        """A protocol from plain values, as files hold them.

        Parameters
        ----------
        values
            The fields by name. Those that are left out stand at their defaults. `model` and
            `epochs` must be there.

        Raises
        ------
        OptionError
            If `model` or `epochs` is not there, and for what `changed` refuses.
        """
        lacking = [name for name in ("model", "epochs") if name not in values]
        if lacking:
            raise OptionError(f"the training protocol lacks {' and '.join(lacking)}")
        return cls(model="", epochs=1).changed(values)

    def describe(self) -> str:
        """One line in plain words."""
        rate = f"learning rate {self.learning_rate:g}"
        reached = [at for at in self.milestones if at < self.epochs]
        if self.schedule == "cosine":
            rate += " falling to 0 along a cosine"
        elif self.schedule == "step" and reached:
            rate += f", times {self.decay:g} after epochs {', '.join(map(str, reached))}"
        else:
            rate = f"constant {rate}"
        epochs = f"{self.epochs} epoch{'s' * (self.epochs != 1)}"
        crops = f", random crops of images padded by {self.crop_padding} pixels"
        extras = crops * bool(self.crop_padding) + ", random flips" * self.flip
        extras = (extras or ", no augmentation") + ", compiled" * self.compiled
        return f"{self.model}, {epochs}, batch {self.batch_size}, {rate}{extras}"


def _fit(name: str, value: Any, present: Any) -> Any:
    """`value` in the type of the `present` one.

    Text, as from the command line, is read as that type.
    """
    try:
        if isinstance(present, bool):
            if str(value).lower() not in ("true", "false"):
                raise ValueError
            return str(value).lower() == "true"
        if isinstance(present, tuple):
            parts = value.split(",") if isinstance(value, str) else value
            return tuple(int(part) for part in parts if str(part).strip())
        if isinstance(present, int):
            if isinstance(value, float) or isinstance(value, bool):
                raise ValueError
            return int(value)
        if isinstance(present, float):
            if isinstance(value, bool):
                raise ValueError
            return float(value)
    except (TypeError, ValueError) as error:
        kind = {
            bool: "true or false",
            tuple: "whole numbers",
            int: "a whole number",
            float: "a number",
        }[type(present)]
        raise OptionError(
            f"{name} = {value!r} does not fit; expected {kind}, as {present!r}"
        ) from error
    return str(value)
