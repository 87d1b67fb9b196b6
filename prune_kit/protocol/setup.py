"""Setup: how networks were made. Every file whose numbers come from networks keeps one."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from prune_kit.errors import FileError, OptionError
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.execution import ResolvedExecution

OBSERVATIONS = ("minibatches", "sweep")
PROTOCOL_FIELDS = tuple(field.name for field in fields(TrainConfig))


@dataclass(frozen=True, kw_only=True)
class Setup:
    """What decides the numbers of networks, but for their data and the rows they train on.

    Parameters
    ----------
    protocol : how a network is trained.
    seed : the first network's; the others have the seeds that follow.
    observe : whether cumulative scores come from the "minibatches" or from a "sweep" an epoch.
    probes : the share of the training rows under labels planted wrong; None for no probes.
    precision : "fp32" or "bf16"; None where an older file does not say.
    threads : the CPU threads of each network; None on a GPU, and where an older file does not say.
    device : the kind of device, "cpu" or "cuda"; None where an older file does not say.
    """

    protocol: TrainConfig
    seed: int = 0
    observe: str = OBSERVATIONS[0]
    probes: float | None = None
    precision: str | None = None
    threads: int | None = None
    device: str | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Setup | None":
        """The setup in a file of any version; None where its numbers come from no network.

        Parameters
        ----------
        values : what the file holds: the parameters of a score column, which selections and
            removals carry on; or what an outcome was trained by, where files of version 0.1.0 have
            the protocol's fields beside the others.

        Raises
        ------
        FileError
            where the values could not be those of a training.
        """
        config = values.get("config", values)
        if not isinstance(config, Mapping) or not {"model", "epochs"} <= config.keys():
            return None
        known = {key: value for key, value in config.items() if key in PROTOCOL_FIELDS}
        try:
            return cls(
                protocol=TrainConfig.of(known),
                seed=int(values.get("seed", 0)),
                observe=str(values.get("observe", OBSERVATIONS[0])),
                probes=_number(float, values.get("probes")),
                precision=values.get("precision"),
                threads=_number(int, values.get("threads")),
                device=values.get("device", _device_of_older_file(values)),
            )
        except (OptionError, TypeError, ValueError) as error:
            raise FileError(f"the file says of its networks what cannot be: {error}") from error

    @classmethod
    def resolved(
        cls, protocol: TrainConfig, execution: ResolvedExecution, **settled: Any
    ) -> "Setup":
        """The setup of networks that train by a protocol, there where the execution says.

        Parameters
        ----------
        protocol : how a network is trained.
        execution : where it trains. Precision, threads and the kind of device are those of it.
        settled : the fields that remain: `seed`, `observe`, `probes`.
        """
        return cls(
            protocol=protocol,
            precision=execution.precision,
            threads=execution.recorded_threads,
            device=execution.kind,
            **settled,
        )

    def values(self) -> dict[str, Any]:
        """The setup as JSON values, as files hold it; `probes` only where there are some."""
        values = {
            "config": self.protocol.values(),
            "seed": self.seed,
            "observe": self.observe,
            "precision": self.precision,
            "threads": self.threads,
            "device": self.device,
        }
        return values if self.probes is None else {**values, "probes": self.probes}

    def differences(self, other: "Setup") -> dict[str, tuple[Any, Any]]:
        """What the two setups differ in: by name, the value of this one and of the other.

        What one of them does not say (of precision, threads and device) is no difference.

        Parameters
        ----------
        other : the setup that this one is compared with.
        """
        mine, theirs = self._flat(), other._flat()
        unsaid = {
            name
            for name in ("precision", "threads", "device")
            if None in (mine[name], theirs[name])
        }
        return {
            name: (value, theirs[name])
            for name, value in mine.items()
            if value != theirs[name] and name not in unsaid
        }

    def words(self, usual: "Setup") -> str:
        """The words of a command line that turn the `usual` setup into this one; "" for none.

        The seed is not among them, since each command counts its seeds in its own way.

        Parameters
        ----------
        usual : the setup that a command takes without these words.
        """
        mine, theirs = self._flat(), usual._flat()
        changed = {
            name: value
            for name, value in mine.items()
            if value != theirs[name] and value is not None and name != "seed"
        }
        options = ["observe", "probes", "precision", "threads", "device", "model"]
        words = [f"--{name} {shell_word(changed[name])}" for name in options if name in changed]
        words += [
            f"--train {shlex.quote(f'{name}={spelled(value)}')}"
            for name, value in changed.items()
            if name not in options
        ]
        return "".join(f" {word}" for word in words)

    def describe(self) -> str:
        """One line in plain words: the network, how long it trains, in which precision."""
        facts = [_count(self.protocol.epochs, "epoch"), f"batch {self.protocol.batch_size}"]
        facts += ["compiled"] if self.protocol.compiled else []
        facts += [self.precision] if self.precision else []
        facts += [f"{_count(self.threads, 'thread')} each"] if self.threads else []
        return f"{self.protocol.model}, {', '.join(facts)}"

    def _flat(self) -> dict[str, Any]:
        """Every field by name, those of the protocol among them."""
        own = {
            "seed": self.seed,
            "observe": self.observe,
            "precision": self.precision,
            "probes": self.probes,
        }
        protocol = {name: getattr(self.protocol, name) for name in PROTOCOL_FIELDS}
        return {**own, **protocol, "threads": self.threads, "device": self.device}


def spelled(value: Any) -> str:
    """A value as the command line takes it: lists by commas, numbers short, "none" for None."""
    if isinstance(value, list | tuple):
        return ",".join(map(spelled, value))
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    return str(value)


def shell_word(value: Any) -> str:
    """A value as one word for a shell."""
    return shlex.quote(spelled(value))


def _device_of_older_file(values: Mapping[str, Any]) -> str | None:
    """Files of version 0.1.0 name no device, and hold threads only where a CPU trained."""
    if "threads" not in values:
        return None
    return "cuda" if values["threads"] is None else "cpu"


def _number(kind: type[int] | type[float], value: Any) -> Any:
    return None if value is None else kind(value)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"
