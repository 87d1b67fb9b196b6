"""What stands in the place of a layer's parts during a pass, and how the parts come back."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from prune_kit.measures.gradients.programs import Recorder

if TYPE_CHECKING:
    from prune_kit.measures.gradients.passes import Forward


def restore(layer: nn.Module, name: str, before: Any) -> None:
    """Give a layer back what an instance had under a name.

    Parameters
    ----------
    layer
        The layer.
    name
        The name of the attribute.
    before
        Its value, None where the instance had none of its own.
    """
    if before is None:
        delattr(layer, name)
    else:
        setattr(layer, name, before)


@contextmanager
def own_parameters(layer: nn.Module, names: tuple[str, ...], opened: bool) -> Iterator[set[int]]:
    """Give a layer parameters of its own for one call, frozen unless `opened`.

    They share the memory of the layer's parameters.

    Parameters
    ----------
    layer
        The layer.
    names
        The names of its parameters.
    opened
        Whether they have gradients.

    Yields
    ------
    set of int
        The identities of the new parameters.
    """
    before = {name: layer._parameters[name] for name in names}
    own = set()
    for name, parameter in before.items():
        assert parameter is not None
        layer._parameters[name] = nn.Parameter(parameter.detach(), requires_grad=opened)
        own.add(id(layer._parameters[name]))
    try:
        yield own
    finally:
        layer._parameters.update(before)


def fill_example(output: torch.Tensor, example: int, examples: int) -> None:
    """Fill the part of an example with NaN, in place.

    Parameters
    ----------
    output
        What a layer returned, of B examples.
    example
        The number of the example.
    examples
        The number B of examples.
    """
    part = torch.zeros(output.numel(), dtype=torch.bool, device=output.device)
    part.reshape(examples, -1)[example] = True
    # Autograd does not see this write, so it does not make the graph of a view anew.
    output.data.masked_fill_(part.view(output.shape), torch.nan)


def copied_value(value: Any) -> Any:
    """A copy of a tensor without its history; any other value as it is."""
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


def expand(forward: "Forward", name: str, recorder: Recorder, replaced: ExitStack) -> torch.Tensor:
    """Replace a parameter (1, ...) by a copy per example, (B, ...), until `replaced` is closed.

    Parameters
    ----------
    forward
        The forward pass.
    name
        The name of the parameter in the network.
    recorder
        What records the program of the pass.
    replaced
        What puts the parameter back.
    """
    path, _, key = name.rpartition(".")
    owner = forward.copied.get_submodule(path)
    parameter = owner._parameters.pop(key)
    assert parameter is not None
    copies = parameter.detach().expand(forward.examples, *parameter.shape[1:])
    if forward.spread is not None and name in forward.spreading:
        copies = copies.clone()
        copies[forward.spread] = torch.nan
        recorder.take_for(copies, parameter)
    copies.requires_grad_()
    setattr(owner, key, copies)

    def put_back() -> None:
        delattr(owner, key)
        owner._parameters[key] = parameter

    replaced.callback(put_back)
    return copies


class Start(torch.autograd.Function):
    """The identity, in place, from which on the activations have gradients.

    Neither the inputs nor the weights have any. The result is neither a leaf nor a view, so a
    following in-place operation is allowed, as it was before.
    """

    @staticmethod
    def forward(ctx: Any, activation: torch.Tensor, start: torch.Tensor) -> torch.Tensor:
        """The activation, unchanged.

        Parameters
        ----------
        ctx
            What autograd keeps of the call. It is told that the activation is changed in place.
        activation
            The activation, of any shape.
        start
            A tensor () that requires a gradient. Through it autograd reaches back to this point.
        """
        ctx.mark_dirty(activation)
        return activation

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, torch.Tensor]:
        """Stop here: gradients before this point are not used."""
        return None, gradients[0].new_zeros(())
