"""Steps that are recorded as a CUDA graph and replayed, so that a GPU does not wait for Python.

One step is hundreds of kernels of a few microseconds. Recorded, it is one call. The rows, their
augmentation and the learning rate differ from step to step. They lie on the device for the whole
epoch, and the recorded step counts a number by which it finds its place there. Recording fixes all
that Python decides. So two replayed steps are compared with two eager ones before any is trusted.
Where they differ, or the network cannot be recorded, steps are taken eagerly. A network that does
otherwise only after more steps than two is not found so.
"""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, cast

import torch
from torch import nn

from prune_kit.training.images import Augmentation
from prune_kit.training.loop import EagerSteps, Epoch, Steps, Training
from prune_kit.training.optimizers import NOT_STATE

# eager steps of a whole batch before: libraries choose their kernels, and the optimiser's state
# comes to be
WARM_UP = 3
# two steps, for the second shows whether gradients are cleared and the number is counted on
COMPARED = 2
TOLERANCE = 0.02  # of the change that the steps make; bf16 rounds by at most 0.004 of a number

# records a function of no arguments; gives its replay
Recorder = Callable[[Callable[[], None]], Callable[[], None]]

# what an optimiser keeps, by parameter, and by the number of a group of them
Kept = dict[Any, dict[str, Any]]

# networks that could not be recorded in this process, and why: they are not tried again
_unrecordable: dict[str, str] = {}


def fastest(model: nn.Module, optimizer: torch.optim.Optimizer, training: Training) -> Steps:
    """Give the fastest way to take the steps of a training here.

    A GPU that holds the images replays them; else they are eager. The network is compiled before,
    where the protocol says so. Parameters are those of `EagerSteps`.
    """
    compiled = (
        cast(nn.Module, torch.compile(model, dynamic=False)) if training.config.compiled else None
    )
    eager = EagerSteps(model, optimizer, training, compiled)
    on_gpu = training.labels.device.type == "cuda"
    if training.config.compiled and not on_gpu:
        # torch's compiler warns where there are CUDA's tools and no GPU
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    replayed = on_gpu and not training.images.streamed
    return GraphSteps(eager) if replayed else eager


class GraphSteps:
    """Takes the steps of a training: most whole batches by replaying, all else eagerly.

    Everything must happen on one stream, that of `own_stream`. The logits of every epoch should go
    to the same tensor, for the step is recorded anew for another. `refused` says why nothing is
    replayed, once that is known; before it is "".

    Parameters
    ----------
    eager : takes a step that is not replayed, and the one that is recorded.
    record : records a step; `cuda_graph` where left out.
    """

    def __init__(self, eager: EagerSteps, record: Recorder | None = None) -> None:
        training = eager.training
        count, device = len(training.members), training.labels.device
        size = training.config.batch_size
        self.eager, self.record, self.size = eager, record or cuda_graph, size
        self.rows = torch.zeros(count, dtype=torch.int64, device=device)
        self.shifts = torch.zeros(2, count, dtype=torch.int64, device=device)
        self.mirror = torch.zeros(count, dtype=torch.bool, device=device)
        self.rates = torch.zeros(len(training.bounds), device=device)
        self.rate = torch.zeros((), device=device)
        self.number = torch.zeros(1, dtype=torch.int64, device=device)
        self.places = torch.arange(size, device=device)
        self.logits: torch.Tensor | None = None
        self.replay: Callable[[], None] | None = None
        self.refused, self.warm_up = _unrecordable.get(training.config.model, ""), WARM_UP

    def __call__(self, epoch: Epoch) -> Iterator[None]:
        """Take the steps of an epoch."""
        self._lay_out(epoch)
        # only the last batch may be of another size
        whole = sum(stop - start == self.size for start, stop in epoch.bounds)
        following = -1  # the step that the recorded one would take by its own count
        for number in range(len(epoch.bounds)):
            if number < whole and self._can_replay(epoch, number, whole - number):
                if number != following:
                    self.number.fill_(number)
                assert self.replay is not None
                self.replay()
                following = number + 1
            else:
                self._take_eagerly(epoch, number)
                self.warm_up -= number < whole
            yield

    def _lay_out(self, epoch: Epoch) -> None:
        """Copy to where the recorded step looks."""
        self.rows.copy_(epoch.rows)
        self.shifts.copy_(torch.stack([epoch.augmentation.down, epoch.augmentation.right]))
        self.mirror.copy_(epoch.augmentation.mirror)
        self.rates[: len(epoch.rates)] = torch.tensor(epoch.rates)
        if epoch.logits is not self.logits:
            self.logits, self.replay = epoch.logits, None

    def _can_replay(self, epoch: Epoch, number: int, left: int) -> bool:
        """Whether the next step can be replayed. Records it, when enough whole batches are left."""
        if self.replay is None and not self.refused and self.warm_up <= 0 and left >= COMPARED:
            self._record(epoch, number)
        return self.replay is not None

    def _record(self, epoch: Epoch, number: int) -> None:
        """Record the step, and compare it with eager ones. The training stays at `number`."""
        if self._some_weights_are_without_state():
            self.refused = (
                "its steps cannot be recorded: some weights got no gradient in the first ones"
            )
            return
        rows = epoch.rows[number * self.size : (number + COMPARED) * self.size]
        before, kept = self._copies(rows), self._kept_by_optimizer()
        replay: Callable[[], None] | None = None
        try:
            with self._same_randomness(), _never_waiting(self.rows.device):
                for compared in range(number, number + COMPARED):
                    self._take_eagerly(epoch, compared)
            expected = self._copies(rows)
            alike = _outline(self._kept_by_optimizer()) == _outline(kept)
            self._restore(before, kept)
            if alike:
                replay = self.record(self._step)
        except RuntimeError as error:
            # any network may do what cannot be recorded, and torch says so in many ways
            self._restore(before, kept)
            self.refused = (
                f"its steps cannot be recorded: {_first_line(error.__context__ or error)}"
            )
            _unrecordable[self.eager.training.config.model] = self.refused
            return
        if replay is None:
            self.refused = "its steps cannot be recorded: its optimiser counts them in Python"
            return
        self.number.fill_(number)
        with self._same_randomness():
            for _ in range(COMPARED):
                replay()
        self.refused = _differing(before, expected, self._copies(rows))
        self._restore(before, kept)
        if not self.refused:
            self.replay = replay

    def _take_eagerly(self, epoch: Epoch, number: int) -> None:
        start, stop = epoch.bounds[number]
        rows = epoch.rows[start:stop]
        pixels = self.eager.training.images.of(rows)
        self.eager.take(
            pixels, rows, epoch.augmentation.part(start, stop), epoch.rates[number], self.logits
        )

    def _step(self) -> None:
        """The step that is recorded: nothing in it depends on Python but its shapes."""
        places = self.number * self.size + self.places
        rows = self.rows.index_select(0, places)
        down, right = self.shifts.index_select(1, places)
        training = self.eager.training
        augmentation = Augmentation(
            training.config.crop_padding, down, right, self.mirror.index_select(0, places)
        )
        self.rate.copy_(self.rates.index_select(0, self.number).squeeze(0))
        self.eager.take(training.images.of(rows), rows, augmentation, self.rate, self.logits)
        self.number += 1

    def _copies(self, rows: torch.Tensor) -> dict[str, list[torch.Tensor]]:
        """Copies of all tensors that steps on these rows change, by kind."""
        copies = {
            kind: [tensor.clone() for tensor in tensors]
            for kind, tensors in self._changing().items()
        }
        return copies | {"logits": [] if self.logits is None else [self.logits[rows]]}

    def _restore(self, copies: dict[str, list[torch.Tensor]], kept: Kept) -> None:
        """All but the logits, which the same steps will write again."""
        state = self.eager.optimizer.state
        for parameter in state.keys() - kept.keys():
            del state[parameter]
        for key, entry in self._entries().items():
            entry.clear()
            entry.update(kept[key])
        for kind, tensors in self._changing().items():
            for tensor, copy in zip(tensors, copies[kind], strict=True):
                tensor.copy_(copy)

    def _entries(self) -> Kept:
        """What the optimiser keeps, as it keeps it: by parameter, and by the number of a group."""
        optimizer = self.eager.optimizer
        return {**optimizer.state, **dict(enumerate(optimizer.param_groups))}

    def _kept_by_optimizer(self) -> Kept:
        """The same in dictionaries of our own, with the optimiser's own tensors."""
        return {key: dict(entry) for key, entry in self._entries().items()}

    def _some_weights_are_without_state(self) -> bool:
        """Whether the optimiser keeps tensors for some weights, and none for others."""
        state = self.eager.optimizer.state
        kept = [
            any(isinstance(value, torch.Tensor) for value in state.get(parameter, {}).values())
            for parameter in self.eager.model.parameters()
        ]
        return any(kept) and not all(kept)

    def _changing(self) -> dict[str, list[torch.Tensor]]:
        """The tensors themselves."""
        model = self.eager.model
        by_optimizer: dict[str, list[torch.Tensor]] = {}
        for entry in self._entries().values():
            for name, value in entry.items():
                if isinstance(value, torch.Tensor) and name not in NOT_STATE:
                    by_optimizer.setdefault(f"{name} of the optimiser", []).append(value)
        return {
            "weights": [parameter.data for parameter in model.parameters()],
            **by_optimizer,
            "running statistics": [
                buffer for buffer in model.buffers() if buffer.is_floating_point()
            ],
            "counters": [buffer for buffer in model.buffers() if not buffer.is_floating_point()],
        }

    @contextmanager
    def _same_randomness(self) -> Iterator[None]:
        """What is drawn inside the block, for dropout, is drawn again after it."""
        device = self.rows.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            yield


@contextmanager
def _never_waiting(device: torch.device) -> Iterator[None]:
    """On a GPU, have torch refuse inside the block what waits for it.

    Recording that would fail, and leave traces.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode(before)


def why_slow(steps: Steps) -> str:
    """Say why no step was replayed, as words behind a note; nothing where steps were."""
    return (
        f", slower than it could be: {steps.refused}"
        if isinstance(steps, GraphSteps) and steps.refused
        else ""
    )


def compiler_failure(error: BaseException) -> str:
    """Give what torch's compiler says, if it raised the error; else nothing."""
    # there is no public name for what torch.compile raises
    from torch._dynamo.exc import TorchDynamoException

    return _first_line(error) if isinstance(error, TorchDynamoException) else ""


def cuda_graph(step: Callable[[], None]) -> Callable[[], None]:
    """Record a step without taking it, and give its replay.

    The current stream must not be the default one.
    """
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.current_stream()):
        step()
    return graph.replay


@contextmanager
def own_stream(device: torch.device) -> Iterator[None]:
    """On a GPU, do everything inside the block on a stream of its own, as recording requires."""
    if device.type != "cuda":
        yield
        return
    around, stream = torch.cuda.current_stream(device), _stream(device)
    stream.wait_stream(around)
    with torch.cuda.stream(stream):
        yield
    around.wait_stream(stream)


@cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """One for all trainings, since the memory that a stream has freed is not given to another."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


def _outline(kept: Kept) -> list[dict[str, Any]]:
    """What an optimiser keeps that replaying does not change: plain values, and tensors' names."""
    return [
        {
            name: None if isinstance(value, torch.Tensor) else value
            for name, value in entry.items()
            if name not in NOT_STATE
        }
        for entry in kept.values()
    ]


def _differing(
    before: dict[str, list[torch.Tensor]],
    expected: dict[str, list[torch.Tensor]],
    replayed: dict[str, list[torch.Tensor]],
) -> str:
    """Say which numbers replayed steps changed otherwise; nothing where all agree."""
    for kind, tensors in expected.items():
        change, error = _distance(before[kind], tensors), _distance(tensors, replayed[kind])
        if error > TOLERANCE * change:
            return (
                f"replayed, the {kind} end {error:.3g} from where eager steps bring them, a "
                f"change of {change:.3g}"
            )
    return ""


def _distance(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """The Euclidean distance over all numbers, NaN counted as 0."""
    apart = [
        a.double().nan_to_num() - b.double().nan_to_num() for a, b in zip(one, other, strict=True)
    ]
    return math.hypot(*(float(difference.norm()) for difference in apart))


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0]
