"""The graph that autograd keeps of a forward pass."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch


def nodes(start: Iterable[torch.Tensor]) -> Iterator[Any]:
    """The nodes of the graph that some tensors depend on, each once.

    Parameters
    ----------
    start
        The tensors.

    Yields
    ------
    Any
        Each node.
    """
    waiting = [tensor.grad_fn for tensor in start if tensor.grad_fn is not None]
    visited = set(waiting)
    while waiting:
        node = waiting.pop()
        yield node
        for other, _ in node.next_functions:
            if other is not None and other not in visited:
                visited.add(other)
                waiting.append(other)


def leaves(start: torch.Tensor) -> dict[int, torch.Tensor]:
    """The leaves that a tensor depends on, such as parameters.

    Parameters
    ----------
    start
        The tensor.

    Returns
    -------
    dict
        The leaves, by their identity.
    """
    if start.grad_fn is None:
        return {id(start): start} if start.requires_grad else {}
    found = (getattr(node, "variable", None) for node in nodes([start]))
    return {id(leaf): leaf for leaf in found if isinstance(leaf, torch.Tensor)}


@dataclass(frozen=True)
class Door:
    """The output of a call in the graph.

    `node` and `position` say where the output is. `first` and `last` are the numbers of the first
    node after the call began and of the first after its end; nodes have numbers in the order in
    which they were made. `own` holds the identities of the parameters that the call has for itself.
    """

    node: Any
    position: int
    first: int
    last: int
    own: frozenset[int]


def has_side_door(result: torch.Tensor, door: Door) -> bool:
    """Whether a result depends on what a call computed in another way than through its output.

    Parameters
    ----------
    result
        What was computed in the end.
    door
        The output of the call.

    Returns
    -------
    bool
        True if it does.
    """

    def inside(node: Any) -> bool:
        return bool(door.first <= node._sequence_nr() < door.last)

    for node in nodes([result]):
        if inside(node):
            continue
        for other, position in node.next_functions:
            if other is None or (other is door.node and position == door.position):
                continue
            leaf = getattr(other, "variable", None)
            if id(leaf) in door.own if leaf is not None else inside(other):
                return True
    return False
