"""Refusals of networks and arguments for which a gradient norm is undefined or incomplete."""

import copy
import random
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn

from prune_kit.errors import RunError
from prune_kit.measures.gradients import graphs
from prune_kit.measures.gradients.programs import Guard, StateWritten
from prune_kit.training.out_of_memory import is_out_of_memory

COUPLING = 1e-7  # relative to the largest logit, in float64


def checked_batch(inputs: Any, labels: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """The inputs and the labels of a batch, in a form that autograd takes.

    Parameters
    ----------
    inputs
        The inputs (B, ...). They may be of inference mode, which autograd refuses.
    labels
        The labels (B,), of any type of integers.

    Returns
    -------
    tuple
        The inputs without a graph, and the labels in int64 on their device.

    Raises
    ------
    RunError
        If they are no such tensors.
    """
    for name, given in (("inputs", inputs), ("labels", labels)):
        if not isinstance(given, torch.Tensor):
            raise RunError(
                f"the {name} are {type(given).__name__}; a gradient norm requires a tensor. Use "
                "torch.from_numpy for an array, and for several inputs wrap the network in a "
                "module that takes one"
            )
        if given.layout is not torch.strided or given.is_nested:
            raise RunError(f"the {name} are a sparse or nested tensor. Give a dense one")
    whole = not labels.is_floating_point() and not labels.is_complex()
    if not whole or labels.dtype is torch.bool:
        kind = str(labels.dtype).removeprefix("torch.")
        raise RunError(f"the labels are {kind}; a gradient norm requires class numbers, integers")
    if not inputs.dim() or labels.shape != inputs.shape[:1]:
        raise RunError(
            f"inputs {tuple(inputs.shape)} and labels {tuple(labels.shape)} are no batch; a "
            "gradient norm requires inputs (B, ...) and labels (B,)"
        )
    wants = inputs.requires_grad
    inputs = inputs.clone() if inputs.is_inference() else inputs.detach().requires_grad_(wants)
    labels = labels.clone() if labels.is_inference() else labels.detach()
    return inputs, labels.to(inputs.device, torch.int64)


@contextmanager
def in_one_line(model: nn.Module) -> Iterator[None]:
    """Turn what a network raises for its inputs into an error of one line.

    Parameters
    ----------
    model
        The network.

    Raises
    ------
    RunError
        Instead of what is raised within.
    """
    try:
        yield
    except (
        RuntimeError,
        MemoryError,
        TypeError,
        ValueError,
        LookupError,
        AttributeError,
        AssertionError,
    ) as error:
        words = " ".join(str(error).split())[:300]
        if is_out_of_memory(error):
            raise RunError(f"the batch does not fit into memory: {words}") from error
        raise RunError(
            f"{type(model).__name__} fails when its gradients are computed for these inputs, one "
            f"example at a time: {type(error).__name__}: {words}"
        ) from error


@contextmanager
def same_chance(device: torch.device) -> Iterator[None]:
    """Leave all global random generators as they were.

    Parameters
    ----------
    device
        The device whose generator the network may use.
    """
    python, arrays = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = [device] if device.type == "cuda" else []
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(arrays)  # noqa: NPY002


@contextmanager
def quiet() -> Iterator[None]:
    """Silence the warnings of trial passes; those of single examples say what users must know."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def refuse_batch_statistics(model: nn.Module) -> None:
    """Refuse a network with a layer that uses the statistics of the batch, in eval mode too.

    They are batch norms that keep no running statistics, and embeddings that scale their gradients
    by frequency.

    Parameters
    ----------
    model
        The network.

    Raises
    ------
    RunError
        If there is such a layer. The error names it.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise RunError(
                f"{name or 'the network'} ({type(module).__name__}) keeps no running statistics. "
                "The examples of a batch share its statistics, so no example has a gradient of "
                "its own. Build it with track_running_stats=True"
            )
        if getattr(module, "scale_grad_by_freq", False):
            raise RunError(
                f"{name or 'the network'} ({type(module).__name__}) scales its gradients by how "
                "often a token is in the batch, so no example has a gradient of its own. Set "
                "scale_grad_by_freq=False"
            )


def refuse_foreign_parameters(copied: nn.Module, example: torch.Tensor) -> bool:
    """Refuse a working copy that depends on trainable parameters, which must be another network's.

    The parameters of a working copy are frozen. A function that is stored in the network may refer
    to the parameters of the network that was copied.

    Parameters
    ----------
    copied
        A working copy of the network. It does not change.
    example
        Its inputs for one example, (1, ...).

    Returns
    -------
    bool
        Whether the network writes into its parameters.

    Raises
    ------
    RunError
        If the logits depend on such a parameter. The error names its shape.
    """
    writes = False
    with torch.enable_grad():
        try:
            with Guard(copied.parameters(), ()):
                logits = copied(example.clone())
        except StateWritten:
            writes = True
            logits = copy.deepcopy(copied)(example.clone())
    used = graphs.leaves(logits) if isinstance(logits, torch.Tensor) else {}
    for leaf in used.values():
        if isinstance(leaf, nn.Parameter):
            raise RunError(
                f"{type(copied).__name__} uses a parameter of shape {tuple(leaf.shape)} "
                "that is not its own. A function stored in it, such as a lambda, may refer to "
                "another module. Register that module as a submodule"
            )
    return writes


def refuse_coupling(copied: nn.Module, examples: torch.Tensor) -> None:
    """Refuse a network whose logits of an example depend on the other examples of its batch.

    Parameters
    ----------
    copied
        A copy of the network in float64, where the rounding is far below the tolerance.
    examples
        The inputs (B, ...) of a batch, in float64.

    Raises
    ------
    RunError
        If the logits depend on the batch. The error names the first module whose output does.
    """
    with torch.no_grad():
        together = copied(examples.clone())
        alone = torch.cat([copied(example[None].clone()) for example in examples])
    if _differ(together, alone):
        raise RunError(
            f"{_coupling_module(copied, examples)} makes the examples of a batch depend on each "
            "other, or on random numbers, in eval mode, so no example has a gradient of its own"
        )


def _coupling_module(copied: nn.Module, examples: torch.Tensor) -> str:
    """The first module whose output for an example depends on the batch, in words."""
    together = _traced(copied, examples)
    alone = _traced(copied, examples[:1])
    for (name, output), (_, expected) in zip(together, alone, strict=False):
        comparable = len(output) == len(expected) * len(examples)
        if comparable and _differ(output[: len(expected)], expected):
            return f"{name} ({type(copied.get_submodule(name)).__name__})"
    return type(copied).__name__


def _traced(copied: nn.Module, inputs: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """The outputs of all modules in the order in which they are ready, inner modules first."""
    outputs: list[tuple[str, torch.Tensor]] = []

    def keep(name: str, output: Any) -> None:
        if isinstance(output, torch.Tensor) and output.is_floating_point() and output.dim():
            outputs.append((name, output.clone()))

    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output, name=name: keep(name, output))
        for name, module in copied.named_modules()
    ]
    try:
        with torch.no_grad():
            copied(inputs.clone())
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


def _differ(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(((a - b).abs().max() > COUPLING * b.abs().max()).item())
