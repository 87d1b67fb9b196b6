"""One forward and one backward pass over a batch that measures squared gradient norms on the way.

The parameters are frozen, so autograd computes the gradients of the activations only. In the
forward pass each measured layer keeps its input. In the backward pass the gradient at the layer's
output arrives, the squared norms are computed from both, and the input is freed. The pass runs on
a working copy of the network.

A measured parameter is frozen within the call of its layer only. Elsewhere it has a gradient. So
the graph of the pass shows every use that the call does not see, in whichever row it is.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from prune_kit.measures.gradients import graphs, losses
from prune_kit.measures.gradients.closed_forms import Squares, square_sums
from prune_kit.measures.gradients.memories import memory
from prune_kit.measures.gradients.programs import Program, Recorder
from prune_kit.measures.gradients.stand_ins import (
    Start,
    copied_value,
    expand,
    fill_example,
    own_parameters,
    restore,
)
from prune_kit.training.loop import autocast
from prune_kit.training.out_of_memory import is_out_of_memory

# Of (the call, the gradient at its output, B).
Measure = Callable[["Call", torch.Tensor, int], Squares]


class PlanMismatch(Exception):
    """A layer does not behave as it did when the plan was made."""


@dataclass(frozen=True)
class LayerHook:
    """How one layer is measured: `measure` gives the squares of its parameters `names`.

    `copy_inputs` is set for a layer whose input is overwritten later in the pass.
    """

    measure: Measure
    names: tuple[str, ...]
    copy_inputs: bool = False


@dataclass(eq=False)
class Call:
    """One call of a layer: its arguments, and the versions of their tensors at the call."""

    layer: nn.Module
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    names: tuple[str, ...]
    versions: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.versions = self._versions()

    @property
    def overwritten(self) -> bool:
        """Whether an input was changed in place after the call."""
        return self.versions != self._versions()

    def _versions(self) -> list[int]:
        return [
            value._version
            for value in [*self.args, *self.kwargs.values()]
            if isinstance(value, torch.Tensor)
        ]


@dataclass(eq=False)
class PassResult:
    """The result of one pass.

    `squares` holds the squared norms (B,) by the parameter's full name. `overwritten` names the
    layers whose input was overwritten before it was measured. `failed` holds the layers that cannot
    be measured in this way, each with the reason. `escaped` names the parameters that are used
    outside of their layer's call.
    """

    squares: Squares = field(default_factory=dict)
    overwritten: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    escaped: set[str] = field(default_factory=set)


@dataclass(eq=False)
class Forward:
    """A forward pass of a working copy whose layers are measured.

    For proofs, `spread` is an example that becomes NaN where it leaves the layers `spreading`, and
    `opened` gives the parameters gradients within their calls. `doors` then holds each call's
    output in the graph.
    """

    copied: nn.Module
    layer_hooks: Mapping[str, LayerHook]
    expanded: tuple[str, ...]
    examples: int
    result: PassResult = field(default_factory=PassResult)
    copies: list[torch.Tensor] = field(default_factory=list)
    spread: int | None = None
    spreading: Collection[str] = ()
    opened: bool = False
    doors: dict[str, graphs.Door] = field(default_factory=dict)
    start: torch.Tensor = field(init=False)
    measuring: bool = False
    is_over: bool = False

    def run(
        self, inputs: torch.Tensor, precision: str, recorder: Recorder, hooks: ExitStack
    ) -> Any:
        """Run the network.

        Parameters
        ----------
        inputs
            The inputs (B, ...). The network may write into them.
        precision
            "fp32", or "bf16" for autocast.
        recorder
            What records the program.
        hooks
            Until it is closed, the layers are measured.

        Returns
        -------
        Any
            The network's output.
        """
        self.start = torch.zeros((), device=inputs.device, requires_grad=True)
        with torch.enable_grad(), ExitStack() as replaced:
            for name, layer_hook in self.layer_hooks.items():
                _attach(self, name, layer_hook, recorder, hooks)
            watched = {
                f"{layer}.{key}".lstrip("."): self.copied.get_submodule(layer)._parameters[key]
                for layer, layer_hook in self.layer_hooks.items()
                for key in layer_hook.names
            }
            for parameter in watched.values():
                assert parameter is not None
                replaced.callback(parameter.requires_grad_, False)
                parameter.requires_grad_(True)
            self.copies = [expand(self, name, recorder, replaced) for name in self.expanded]
            with autocast(inputs.device, precision), recorder:
                output = self.copied(inputs)
            self.is_over = True
            if isinstance(output, torch.Tensor):
                used = graphs.leaves(output)
                self.result.escaped |= {name for name, p in watched.items() if id(p) in used}
        return output


def measure_batch(
    copied: nn.Module,
    layer_hooks: Mapping[str, LayerHook],
    expanded: tuple[str, ...],
    inputs: torch.Tensor,
    labels: torch.Tensor,
    precision: str = "fp32",
    known: Program | None = None,
) -> PassResult:
    """Pass one batch through a working copy, and measure some of its parameters.

    Parameters
    ----------
    copied
        A working copy of the network.
    layer_hooks
        How layers are measured, by the layer's name.
    expanded
        The names of parameters (1, ...) that are replaced by one copy per example, (B, ...). The
        gradient of such a copy is computed like that of an activation.
    inputs
        The inputs (B, ...).
    labels
        The labels (B,).
    precision
        "fp32", or "bf16" for autocast.
    known
        The program that the pass must have; None for any.

    Returns
    -------
    PassResult
        The squared norms, and the layers that were not measured.

    Raises
    ------
    PlanMismatch
        If the program of the pass is another one.
    RunError
        If the network does not return logits (B, classes).
    StateWritten
        If the network would write into its parameters.
    """
    forward = Forward(copied, layer_hooks, expanded, len(inputs))
    result = forward.result
    inputs = inputs.clone()  # a network may write into its inputs
    recorder = Recorder(copied, inputs)
    with torch.enable_grad(), ExitStack() as hooks:
        logits = forward.run(inputs, precision, recorder, hooks)
        if known is not None and not recorder.program(len(inputs)).repeats(known):
            raise PlanMismatch("the network does not do what it did when the plan was made")
        loss = losses.cross_entropy(logits, labels).sum()
        if loss.requires_grad:
            wanted = [forward.start, *forward.copies]
            gradients = torch.autograd.grad(loss, wanted, allow_unused=True)[1:]
            for name, gradient in zip(expanded, gradients, strict=True):
                if gradient is not None:
                    result.squares[name] = square_sums(gradient)
    return result


def activation_bytes(copied: nn.Module, example: torch.Tensor, label: torch.Tensor) -> int:
    """How much memory autograd keeps for one example in a pass with trainable parameters.

    Parameters
    ----------
    copied
        A working copy of the network.
    example
        The inputs of one example, (1, ...).
    label
        Its label, (1,).

    Returns
    -------
    int
        The bytes of the kept activations. The parameters do not count.

    Raises
    ------
    RunError
        If the network does not return logits (1, classes).
    """
    parameters = {parameter.untyped_storage().data_ptr() for parameter in copied.parameters()}
    kept: dict[int, int] = {}

    def count(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.enable_grad(),
        torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor),
    ):
        example = example.detach().requires_grad_(example.is_floating_point())
        losses.cross_entropy(copied(example), label)
    return sum(size for address, size in kept.items() if address not in parameters)


def _attach(
    forward: Forward, name: str, layer_hook: LayerHook, recorder: Recorder, hooks: ExitStack
) -> None:
    """Measure one layer until `hooks` are closed.

    The method `forward` is replaced and no hook is registered, because hooks of the network may
    change what the layer receives and returns, and a network may call the method itself.
    """
    layer = forward.copied.get_submodule(name)
    result = forward.result
    original = layer.forward
    calls: list[Call] = []

    def call(*args: Any, **kwargs: Any) -> Any:
        # Without gradients the call has no path to the loss.
        if forward.measuring or not torch.is_grad_enabled():
            return original(*args, **kwargs)
        first = torch.autograd._get_sequence_nr()  # type: ignore[attr-defined]
        with own_parameters(layer, layer_hook.names, forward.opened) as own:
            if forward.is_over:  # gradient checkpointing repeats what the call did
                return _started(forward, recorder, original(*args, **kwargs))
            recorder.paused = True
            given = (args, kwargs)
            if layer_hook.copy_inputs:
                copies = {key: copied_value(value) for key, value in kwargs.items()}
                given = (tuple(copied_value(value) for value in args), copies)
            if calls:
                result.failed[name] = "it is called twice"
            calls.append(Call(layer, *given, layer_hook.names))
            recorder.paused = False
            output = original(*args, **kwargs)
        if not isinstance(output, torch.Tensor) or not output.is_floating_point():
            result.failed[name] = "its output is not one tensor"
        elif memory(output) in recorder.protected:
            result.failed[name] = "its output is a parameter"
        else:
            if forward.opened:
                last = torch.autograd._get_sequence_nr()  # type: ignore[attr-defined]
                door = graphs.Door(output.grad_fn, output.output_nr, first, last, frozenset(own))
                forward.doors[name] = door
                return output
            if forward.spread is not None and name in forward.spreading:
                recorder.paused = True
                fill_example(output, forward.spread, forward.examples)
                recorder.paused = False
            output = _started(forward, recorder, output)
            output.register_hook(backward)  # type: ignore[no-untyped-call]
        return output

    def backward(gradient: torch.Tensor) -> None:
        if not forward.is_over or not calls:
            result.failed[name] = "the forward pass computes gradients itself"
            return
        call = calls.pop()
        if name in result.failed:
            return
        if call.overwritten:
            result.overwritten.add(name)
            return
        forward.measuring = True
        try:
            squares = layer_hook.measure(call, gradient, forward.examples)
        except Exception as error:  # any error of foreign code says that the measure does not fit
            if is_out_of_memory(error):
                raise
            result.failed[name] = f"{type(error).__name__}: {error}"
            return
        finally:
            forward.measuring = False
        for key in layer_hook.names:
            result.squares[f"{name}.{key}" if name else key] = squares[key]

    hooks.callback(restore, layer, "forward", vars(layer).get("forward"))
    layer.forward = call


def _started(forward: Forward, recorder: Recorder, output: torch.Tensor) -> torch.Tensor:
    """What a layer returned, from where on activations have gradients."""
    if output.requires_grad:
        return output
    paused = recorder.paused
    recorder.paused = True
    hooked: torch.Tensor = Start.apply(output, forward.start)
    recorder.paused = paused
    return hooked
