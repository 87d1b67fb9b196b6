"""What a network does in a forward pass, operation by operation.

A pass may only be measured in the way that was proven for its program (`proofs.py`). So every pass
writes its program down and compares it. The program of a batch of another size is the same where
its sizes are equal, or grow with the batch. Nothing is written into the memory that a copy shares
with the network: the pass stops before.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from prune_kit.measures.gradients.memories import memory, tensors_in

Number = int | float
# Of an operation: its name, the numbers of the memories it reads, its sizes and other numbers.
Step = tuple[str, tuple[int, ...], tuple[Number, ...]]

# Whether these copy or only pass on depends on strides, not on the program.
COPIES = frozenset({"clone", "_to_copy", "detach", "alias", "lift_fresh", "contiguous"})
# torch does not say so of these.
POINTWISE_IN_PLACE = frozenset({"masked_fill_", "fill_", "zero_", "copy_"})
VIEWS = {"_unsafe_view": "view", "_reshape_alias": "view", "reshape": "view"}


class StateWritten(Exception):
    """A forward pass would write into the memory of the network's parameters."""


@dataclass(frozen=True)
class Operation:
    """What the dispatcher knows of an operation.

    `written` holds the positions and keywords of the arguments that it writes into. `dimension` is
    the position of its argument `dim`, or -1, and `default_dimension` what that is if left out.
    """

    name: str
    written: tuple[int | str, ...]
    pointwise: bool
    dimension: int
    default_dimension: Any


@dataclass(frozen=True)
class Program:
    """The operations of a forward pass of `examples` examples, in their order."""

    examples: int
    steps: tuple[Step, ...]

    def repeats(self, other: "Program") -> bool:
        """Whether both do the same, apart from sizes that grow with the number of examples.

        Parameters
        ----------
        other
            The program of another pass.

        Returns
        -------
        bool
            True if they do.
        """
        if len(self.steps) != len(other.steps):
            return False
        here = self.examples
        there = other.examples
        for (name, memories, numbers), (name2, memories2, numbers2) in zip(
            self.steps, other.steps, strict=True
        ):
            if name != name2 or memories != memories2 or len(numbers) != len(numbers2):
                return False
            if numbers != numbers2 and not all(
                a == b or a * there == b * here for a, b in zip(numbers, numbers2, strict=True)
            ):
                return False
        return True


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records the program of a forward pass, and stops it before it writes into a parameter.

    A memory has the number of its first appearance. The parameters and buffers come first, in the
    order of their names, and the inputs next.
    """

    def __init__(self, copied: nn.Module, inputs: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self.paused = False
        self.protected: set[int] = set()
        self._numbers: dict[int, int] = {}
        self._last = 0
        parameters = dict(copied.named_parameters())
        buffers = dict(copied.named_buffers())
        for name in sorted(parameters):
            self.protected.add(memory(parameters[name]))
            self._number(memory(parameters[name]))
        for tensor in [*(buffers[name] for name in sorted(buffers)), inputs]:
            self._number(memory(tensor))

    def program(self, examples: int) -> Program:
        """The program so far.

        Parameters
        ----------
        examples
            The number of examples of the pass.

        Returns
        -------
        Program
            The program.
        """
        return Program(examples, tuple(self.steps))

    def take_for(self, tensor: torch.Tensor, other: torch.Tensor) -> None:
        """Take the memory of a tensor for that of another one.

        Parameters
        ----------
        tensor
            The tensor.
        other
            The other one, whose memory is known.
        """
        self._numbers[memory(tensor)] = self._number(memory(other))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operation and write it down."""
        kwargs = kwargs or {}
        if self.paused:
            return func(*args, **kwargs)
        operation = described(func)
        refuse_writing(operation, args, kwargs, self.protected)
        tensors: list[torch.Tensor] = []
        numbers: list[Number] = []
        _collect(args, tensors, numbers)
        _collect(kwargs.values(), tensors, numbers)
        places = [memory(tensor) for tensor in tensors]
        read = tuple([self._number(place) for place in places])
        output = self.run(operation, func, args, kwargs, tensors)
        if operation.name in COPIES:
            for tensor in tensors_in(output):
                self._numbers[memory(tensor)] = read[0] if read else 0
            return output
        self.steps.append((operation.name, read, tuple(numbers)))
        for tensor in tensors_in(output):
            place = memory(tensor)
            if operation.name == "view" and read:  # of a copy, perhaps
                self._numbers[place] = read[0]
            elif place not in places:  # new, also where a memory that was freed is used again
                self._numbers.pop(place, None)
                self._number(place)
        return output

    def run(
        self,
        operation: Operation,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        tensors: list[torch.Tensor],
    ) -> Any:
        """Run one operation.

        Parameters
        ----------
        operation
            What it is.
        func, args, kwargs
            The operation of torch and its arguments.
        tensors
            The tensors among the arguments.

        Returns
        -------
        Any
            Its output.
        """
        return func(*args, **kwargs)

    def _number(self, place: int) -> int:
        number = self._numbers.get(place)
        if number is None:
            self._last += 1
            number = self._numbers[place] = self._last
        return number


class Guard(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Stops a pass before it writes into `protected` tensors.

    It saves what is written over in `kept` tensors, and `restore` brings that back.
    """

    def __init__(self, protected: Iterable[torch.Tensor], kept: Iterable[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._protected = {memory(tensor) for tensor in protected}
        self._kept: dict[int, list[torch.Tensor]] = {}
        for tensor in kept:
            self._kept.setdefault(memory(tensor), []).append(tensor)
        self._saved: dict[int, list[torch.Tensor]] = {}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run one operation, unless it writes where it may not."""
        kwargs = kwargs or {}
        operation = described(func)
        if operation.written:
            refuse_writing(operation, args, kwargs, self._protected)
            for tensor in written(operation, args, kwargs):
                place = memory(tensor)
                if place in self._kept and place not in self._saved:
                    kept = self._kept[place]
                    self._saved[place] = [before.detach().clone() for before in kept]
        return func(*args, **kwargs)

    def restore(self) -> None:
        """Bring back what was written over."""
        for place, saved in self._saved.items():
            for tensor, before in zip(self._kept[place], saved, strict=True):
                tensor.data.copy_(before)
        self._saved.clear()


def refuse_writing(
    operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any], protected: Iterable[int]
) -> None:
    """Refuse an operation that writes into protected memory.

    Parameters
    ----------
    operation
        The operation.
    args, kwargs
        Its arguments.
    protected
        The memories.

    Raises
    ------
    StateWritten
        If it does.
    """
    for tensor in written(operation, args, kwargs):
        if memory(tensor) in protected:
            raise StateWritten(f"{operation.name} writes into a parameter")


@cache
def described(func: Any) -> Operation:
    """What the dispatcher knows of an operation.

    Parameters
    ----------
    func
        The operation of torch.

    Returns
    -------
    Operation
        Its description.
    """
    arguments = func._schema.arguments
    name = func._schema.name.rpartition("::")[2]
    return Operation(
        name=VIEWS.get(name, name),
        written=tuple(
            argument.name if argument.kwarg_only else position
            for position, argument in enumerate(arguments)
            if argument.alias_info is not None and argument.alias_info.is_write
        ),
        pointwise=torch.Tag.pointwise in func.tags or name in POINTWISE_IN_PLACE,
        dimension=next((i for i, argument in enumerate(arguments) if argument.name == "dim"), -1),
        default_dimension=next((a.default_value for a in arguments if a.name == "dim"), None),
    )


def written(
    operation: Operation, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Iterator[torch.Tensor]:
    """The tensors that an operation writes into.

    Parameters
    ----------
    operation
        The operation.
    args, kwargs
        Its arguments.

    Yields
    ------
    torch.Tensor
        Each tensor.
    """
    for key in operation.written:
        if isinstance(key, str):
            yield from tensors_in(kwargs.get(key))
        elif key < len(args):
            yield from tensors_in(args[key])


def _collect(values: Iterable[Any], tensors: list[torch.Tensor], numbers: list[Number]) -> None:
    """Sort arguments into tensors and numbers; a tensor's sizes and its offset are numbers."""
    for value in values:
        if isinstance(value, torch.Tensor):
            tensors.append(value)
            numbers.extend(value.shape)
            if value.layout is torch.strided:
                numbers.append(value.storage_offset())  # type: ignore[arg-type]
        elif isinstance(value, int | float):
            numbers.append(value)
        elif isinstance(value, list | tuple):
            _collect(value, tensors, numbers)
