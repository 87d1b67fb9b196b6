"""The proof that a pass measures every row's gradient, whatever the rows hold.

It is made once for a program (`programs.py`), with a few rows, and each later pass repeats that
program. Four things are shown:

1. Nothing that is computed from the inputs decides what is computed, or which row goes where
   (`Examiner`). So the program is the same for all data.
2. A row reaches only its own example. One example is NaN, from the inputs on and in its part of
   each measured layer's output, and NaN goes through all products. The other examples' logits are
   no NaN. So a branch that multiplies these rows by zero is seen, too.
3. What a layer computes from its parameters leaves it by its output alone (`graphs.side_doors`).
4. The backward pass is torch's own, without hooks on activations or functions of the network.

Networks without such a proof are measured by `torch.func`, which maps over examples, or one example
at a time.
"""

import copy
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from prune_kit.measures.gradients import graphs, losses
from prune_kit.measures.gradients.copies import forget_caches
from prune_kit.measures.gradients.memories import memory, tensors_in
from prune_kit.measures.gradients.passes import Forward, LayerHook
from prune_kit.measures.gradients.programs import (
    COPIES,
    Operation,
    Program,
    Recorder,
    written,
)
from prune_kit.training.out_of_memory import is_out_of_memory

# The state of a memory: it does not depend on the inputs, it does and row i of it belongs to
# example i, or it holds integers that do and of which that is not known.
CONSTANT, DATA, UNALIGNED = 0, 1, 2
# They leave rows where they are unless `dim` is the first dimension.
ALONG_A_DIMENSION = frozenset(
    "sum any all cumsum cumprod argmax argmin max min amax amin topk sort argsort gather scatter "
    "scatter_ scatter_add scatter_add_ select slice unsqueeze squeeze cat unbind split".split()
)
ROW_BY_ROW = COPIES | {"view", "expand"}
# Their outputs have the form of their inputs and nothing else of them.
FRESH = frozenset(
    "empty_like zeros_like ones_like full_like new_empty new_zeros new_ones new_full".split()
)
DECIDING = frozenset({"_local_scalar_dense", "equal", "is_nonzero", "item"})
LEAVING = frozenset({"tolist", "numpy", "__array__", "__dlpack__"})


class Examiner(Recorder):  # type: ignore[no-untyped-call]
    """Records a program, and finds why it may depend on the data: `reason`, or an empty text.

    Integers and truth values that come from the inputs may be combined element by element, or look
    up rows of a constant table, as tokens do. Anything else may choose rows. With `spread`, that
    example is NaN from the inputs on.
    """

    def __init__(self, copied: nn.Module, inputs: torch.Tensor, spread: int | None = None) -> None:
        super().__init__(copied, inputs)
        self.reason = ""
        self._examples = len(inputs)
        self._spread = spread
        self._kinds = {memory(inputs): DATA}
        if spread is not None and (inputs.is_floating_point() or inputs.is_complex()):
            inputs[spread] = torch.nan

    def kind(self, tensor: torch.Tensor) -> int:
        """The state of a tensor's memory.

        Parameters
        ----------
        tensor
            The tensor.

        Returns
        -------
        int
            CONSTANT, DATA, or UNALIGNED.
        """
        return self._kinds.get(memory(tensor), CONSTANT)

    def run(
        self,
        operation: Operation,
        func: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        tensors: list[torch.Tensor],
    ) -> Any:
        """Run one operation, and follow what depends on the inputs.

        Parameters
        ----------
        operation, func, args, kwargs, tensors
            As `Recorder.run`.

        Returns
        -------
        Any
            Its output.
        """
        kinds = [self.kind(tensor) for tensor in tensors]
        depends = max(kinds, default=CONSTANT) > CONSTANT
        if depends and operation.name in DECIDING:
            self._because(operation)
        nans = []
        if self._spread is not None and operation.pointwise:
            nans = [tensor.isnan() for tensor in tensors if not _whole(tensor)]
        output = func(*args, **kwargs)
        if operation.name in FRESH:
            self._kinds.update({memory(tensor): CONSTANT for tensor in tensors_in(output)})
            return output
        outputs = [*tensors_in(output), *written(operation, args, kwargs)]
        choosing = [
            tensor for tensor, kind in zip(tensors, kinds, strict=True) if kind and _whole(tensor)
        ]
        aligned = depends and self._stays(operation, args, tensors, kinds, outputs)
        if choosing and not aligned:
            self._because(operation)
        places = {memory(tensor) for tensor in tensors}
        for result in outputs:
            kind = CONSTANT
            if depends:
                kind = UNALIGNED if _whole(result) and not aligned else DATA
            place = memory(result)
            if place in places:  # a view, or written in place
                kind = max(kind, self._kinds.get(place, CONSTANT))
            self._kinds[place] = kind
            if self._spread is None:
                continue
            if not _whole(result):
                self._fill(result, nans, bool(choosing), place in places)
            elif aligned and place not in places:  # NaN would become an index that does not exist
                result[self._spread] = result[self._spread - 1]
        return output

    def _stays(
        self,
        operation: Operation,
        args: tuple[Any, ...],
        tensors: list[torch.Tensor],
        kinds: list[int],
        outputs: list[torch.Tensor],
    ) -> bool:
        """Whether row i of the outputs comes from row i of what depends on the inputs."""
        if UNALIGNED in kinds:
            return False
        dependent = [tensor for tensor, kind in zip(tensors, kinds, strict=True) if kind]
        shapes = [tensor.shape for tensor in [*dependent, *outputs]]
        if not all(shape and shape[0] == self._examples for shape in shapes):
            return False
        if operation.pointwise:
            return len({len(shape) for shape in shapes}) == 1
        if operation.name == "embedding":
            return self.kind(tensors[0]) == CONSTANT
        if operation.name in ROW_BY_ROW:
            return True
        if operation.name not in ALONG_A_DIMENSION or operation.dimension < 0:
            return False
        given = operation.default_dimension
        if len(args) > operation.dimension:
            given = args[operation.dimension]
        size = len(shapes[0]) + (operation.name == "unsqueeze")
        dims = given if isinstance(given, list | tuple) else [given]
        return bool(dims) and all(isinstance(dim, int) and dim % size for dim in dims)

    def _fill(
        self, result: torch.Tensor, nans: list[torch.Tensor], chosen: bool, shared: bool
    ) -> None:
        """Make the output NaN where an input was, also where the operation hides that."""
        for nan in nans:
            if torch.broadcast_shapes(nan.shape, result.shape) == result.shape:  # type: ignore[no-untyped-call]
                result.masked_fill_(nan, torch.nan)
        if chosen and not shared and result.dim() and len(result) == self._examples:
            result[self._spread] = torch.nan

    def _because(self, operation: Operation) -> None:
        self.reason = self.reason or f"{operation.name} depends on the data"


class _Leaving(TorchFunctionMode):
    """Sees what leaves torch, and hooks on activations; the dispatcher does not."""

    def __init__(self, examiner: Examiner) -> None:
        super().__init__()
        self._examiner = examiner

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        leaves = name in LEAVING and self._examiner.kind(args[0]) > CONSTANT
        if leaves or name == "register_hook":
            self._examiner.reason = self._examiner.reason or f"{name} depends on the data"
        return func(*args, **(kwargs or {}))


def obstacle(copied: nn.Module, inputs: torch.Tensor) -> str:
    """Why no program of the network can be proven, in words; empty if nothing speaks against it.

    Parameters
    ----------
    copied
        A working copy of the network.
    inputs
        The inputs (B, ...) of a few examples.

    Returns
    -------
    str
        The reason.

    Raises
    ------
    StateWritten
        If the network would write into its parameters.
    """
    if any(isinstance(module, torch.jit.ScriptModule) for module in copied.modules()):
        return "its modules are compiled"
    inputs = inputs.clone()
    examiner = Examiner(copied, inputs)
    forget_caches(copied)
    with torch.enable_grad(), _Leaving(examiner), examiner:
        copied(inputs)
    forget_caches(copied)
    return examiner.reason


def prove(
    copied: nn.Module,
    layer_hooks: Mapping[str, LayerHook],
    expanded: tuple[str, ...],
    inputs: torch.Tensor,
    precision: str,
) -> tuple[Program | None, set[str]]:
    """Prove that a pass measures every row's gradient.

    Parameters
    ----------
    copied
        A working copy of the network. It does not change.
    layer_hooks, expanded, precision
        As `measure_batch`.
    inputs
        The inputs (B, ...) of two or more examples.

    Returns
    -------
    program
        The program; None if nothing can be proven of it.
    unproven
        The names of the layers and of the expanded parameters of which it is not proven.
    """
    copied = copy.deepcopy(copied)  # NaN is written into what layers return
    proof = _Proof(copied, layer_hooks, expanded, inputs, precision)
    everything = {*layer_hooks, *expanded}
    try:
        unproven = proof.with_side_doors()
        if unproven is None:
            return None, everything
        # The same memories are numbered in every pass, so NaN comes in by a pass of its own.
        if not proof.separates(()):
            return None, everything
        if not proof.separates(everything):
            culprits = {name for name in everything if not proof.separates({name})}
            return proof.program, unproven | (culprits or everything)
    except Exception as error:  # foreign code may not bear NaN
        if is_out_of_memory(error):
            raise
        return None, everything
    return proof.program, unproven


class _Proof:
    def __init__(
        self,
        copied: nn.Module,
        layer_hooks: Mapping[str, LayerHook],
        expanded: tuple[str, ...],
        inputs: torch.Tensor,
        precision: str,
    ) -> None:
        self._given = (copied, layer_hooks, expanded, len(inputs))
        self._inputs = inputs
        self._precision = precision
        self.program = self._run(Forward(*self._given))[1].program(len(inputs))

    def _run(self, forward: Forward) -> tuple[Any, Examiner]:
        inputs = self._inputs.clone()
        examiner = Examiner(forward.copied, inputs, forward.spread)
        forget_caches(forward.copied)
        with ExitStack() as hooks:
            logits = forward.run(inputs, self._precision, examiner, hooks)
        forget_caches(forward.copied)
        losses.refuse_output(logits, len(inputs))
        return logits, examiner

    def with_side_doors(self) -> set[str] | None:
        """The layers that compute more than their output; None if the backward pass is foreign."""
        forward = Forward(*self._given, opened=True)
        logits, _ = self._run(forward)
        foreign = torch.autograd.function.BackwardCFunction
        if any(isinstance(node, foreign) for node in graphs.nodes([logits])):
            return None
        doors = forward.doors.items()
        return {name for name, door in doors if graphs.has_side_door(logits, door)}

    def separates(self, spreading: Collection[str]) -> bool:
        """Whether NaN that starts in one example, and in these layers, stays in its example."""
        for example in range(len(self._inputs)):
            forward = Forward(*self._given, spread=example, spreading=spreading)
            logits, examiner = self._run(forward)
            others = [row for row in range(len(self._inputs)) if row != example]
            if examiner.reason or bool(logits[others].isnan().any()):
                return False
            if not examiner.program(len(self._inputs)).repeats(self.program):
                return False
        return True


def _whole(tensor: torch.Tensor) -> bool:
    return not tensor.is_floating_point() and not tensor.is_complex()
