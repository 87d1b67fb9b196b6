"""The norm of each example's gradient over all parameters, exact.

    g_i = || d crossentropy(f(x_i), y_i) / d w ||_2

It takes little more time than one backward pass of a batch. The other files of this folder:

- `plan.py` chooses how the norms of each parameter are computed.
- `passes.py` runs the one pass that measures most parameters.
- `programs.py` records what a pass does, and `proofs.py` says for which data it is right.
- `closed_forms.py` and `convolutions.py` hold the formulas.
- `fallbacks.py` measures the parameters that do not have a formula.
- `agreement.py` compares the ways with single examples.
- `losses.py` holds the loss, and `graphs.py` reads the graph of a pass.
- `refusals.py` refuses networks and arguments that do not have per-example gradients.
"""

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float
from torch import nn

from prune_kit.data.dataset import Dataset
from prune_kit.measures.gradients import fallbacks, plan, refusals
from prune_kit.measures.gradients.agreement import distinct_rows
from prune_kit.measures.gradients.copies import working_copy
from prune_kit.measures.gradients.passes import PlanMismatch, activation_bytes
from prune_kit.measures.gradients.plan import Plan
from prune_kit.protocol.execution import ResolvedExecution
from prune_kit.training.allocator import keep_freed_memory
from prune_kit.training.images import normalisation, on_device
from prune_kit.training.out_of_memory import activation_budget, halved

LARGEST_BATCH = {"cpu": 256, "cuda": 2048}
BF16_ERROR = 0.01  # the relative error from which on bf16 is not used

_plans: WeakKeyDictionary[nn.Module, dict[object, Plan]] = WeakKeyDictionary()
# what replaces a plan that fits no more
_newer: WeakKeyDictionary[Plan, Plan] = WeakKeyDictionary()


def per_example_gradient_norms(
    model: nn.Module, inputs: Any, labels: Any
) -> Float[torch.Tensor, "B"]:
    """The L2 norm of the gradient of each example's cross-entropy over all parameters.

    The network is evaluated in eval mode: batch norm uses its running statistics, and dropout is
    off. In training mode the examples of a batch are not independent. The work is done on a copy
    that shares the parameters' memory, so the model does not change, also after an exception. The
    result does not depend on how the examples are batched.

    The norm is that of single examples, for every network that treats its rows independently in
    eval mode. Fast ways are taken where they are proven to give it for all data. The proof is made
    for what the network does with the first batch of each kind, which takes longer, and every later
    pass is compared with it. So weights may be shared or used outside of their layers, and flags
    may be switched between calls. Networks whose operations depend on the data, such as routing,
    are mapped over by `torch.func`, or measured one example at a time. That is slower.

    A parameter to which autograd finds no path from the loss counts 0. It may be unused, or lie
    behind `torch.no_grad`, `detach`, or a reentrant checkpoint whose inputs have no gradient.

    Source: Paul, Ganguli, Dziugaite 2021, https://arxiv.org/abs/2107.07075, definition 2.1.

    Parameters
    ----------
    model
        The network. Parameters with `requires_grad=False` count, too, and complex ones by their
        magnitude.
    inputs
        The inputs of a batch, a tensor (B, ...) of any type, on the device of the network.
    labels
        The labels, a tensor (B,) of integers in 0 .. classes - 1.

    Returns
    -------
    (B,)
        The norms, 0 or more, on the device of the inputs. They are float64 if the network holds
        such parameters, and else float32.

    Raises
    ------
    RunError
        If the inputs or labels are no such tensors, the examples of a batch depend on each other
        (batch statistics), the network does not return logits (B, classes), fails on a single
        example, or cannot be copied. The error says why, in one line.
    """
    with torch.inference_mode(False):
        inputs, labels = refusals.checked_batch(inputs, labels)
        with refusals.in_one_line(model), refusals.same_chance(inputs.device):
            if not len(inputs):
                return torch.zeros(0, dtype=_result_type(model), device=inputs.device)
            copied = working_copy(model)
            plans = _plans.setdefault(model, {})
            kind = _kind(copied, inputs)
            chosen = plans.get(kind) or plan.plan(model, inputs)
            if len(distinct_rows(inputs)) > 1:  # else the plan was not compared with anything
                plans[kind] = chosen
            return _norms(chosen, copied, inputs, labels)


def data_gradient_norms(
    model: nn.Module, data: Dataset, execution: ResolvedExecution
) -> tuple[Float[np.ndarray, "N"], str]:
    """`per_example_gradient_norms` of every row of a data set, unaugmented, in float32.

    The batch is as large as the memory allows. It is halved when it does not fit.

    Parameters
    ----------
    model
        The network. It does not change.
    data
        The data set.
    execution
        Where the passes run. With the gradient precision bf16 they run under autocast, unless that
        changes a norm of the first batch by 1% or more.

    Returns
    -------
    norms (N,)
        The norms, float32, 0 or more.
    arithmetic
        The arithmetic in words (`arithmetic`).

    Raises
    ------
    RunError
        If the network is refused (`per_example_gradient_norms`), or a single example does not fit
        into memory.
    """
    keep_freed_memory()
    device = torch.device(execution.device)
    images = on_device(data.images, *normalisation(data), device)
    labels = torch.from_numpy(data.labels).to(device)
    copied = working_copy(model).to(device).to(memory_format=torch.channels_last)
    size = min(_batch_size(copied, images.batch(slice(0, 1)), labels[:1]), len(data))
    chosen = plan.plan(copied, images.batch(slice(0, size)))
    precision = execution.gradient_precision
    # One array and not a list of batches: small arrays that stay between large ones that are freed
    # would make the heap grow.
    norms = np.empty(len(data), dtype=np.float32)
    start = 0
    while start < len(data):
        rows = slice(start, start + size)
        batch = images.batch(rows)
        failure = None
        try:
            if start == 0:
                precision = _accepted_precision(chosen, copied, batch, labels[rows], precision)
            part = _norms(chosen, copied, batch, labels[rows], precision)
            norms[rows] = part.float().cpu().numpy()
        except (RuntimeError, MemoryError) as error:
            failure = error.with_traceback(None)  # the frames of a traceback keep the memory
        if failure is not None:
            size = halved(size, failure, "the gradient norm")
            continue
        start += size
    return norms, arithmetic(precision, device)


def arithmetic(precision: str, device: torch.device) -> str:
    """The arithmetic of a pass, in words.

    Parameters
    ----------
    precision
        "fp32" or "bf16".
    device
        Where the pass runs.

    Returns
    -------
    str
        `precision`, or "fp32 (TF32 allowed)" on a GPU where torch may use TF32.
    """
    tf32 = device.type == "cuda" and (
        torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
    )
    return f"{precision} (TF32 allowed)" if precision == "fp32" and tf32 else precision


def _result_type(model: nn.Module) -> torch.dtype:
    """The type of the norms: that of the widest parameter, at least float32."""
    wide = (torch.float64, torch.complex128)
    is_wide = any(parameter.dtype in wide for parameter in model.parameters())
    return torch.float64 if is_wide else torch.float32


def _norms(
    chosen: Plan,
    copied: nn.Module,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    precision: str = "fp32",
) -> torch.Tensor:
    try:
        squares = _newer.get(chosen, chosen).squares(copied, inputs, labels, precision)
    except PlanMismatch:  # a flag was switched, or a cache is filled now
        _newer[chosen] = plan.plan(copied, inputs)
        try:
            squares = _newer[chosen].squares(copied, inputs, labels, precision)
        except PlanMismatch:
            squares = fallbacks.single_squares(copied, inputs, labels)
    total = torch.zeros(len(inputs), dtype=_result_type(copied), device=inputs.device)
    for part in squares.values():
        total = total + part
    return total.sqrt().to(total.dtype)


def _accepted_precision(
    chosen: Plan, copied: nn.Module, inputs: torch.Tensor, labels: torch.Tensor, precision: str
) -> str:
    """`precision`, or fp32 where bf16 would change a norm of this batch by 1% or more."""
    if precision == "fp32":
        return precision
    exact = _norms(chosen, copied, inputs, labels)
    error = (_norms(chosen, copied, inputs, labels, precision) - exact).abs()
    return precision if bool((error < BF16_ERROR * exact).all()) else "fp32"


def _batch_size(copied: nn.Module, example: torch.Tensor, label: torch.Tensor) -> int:
    """How many examples fit into memory.

    An example is assumed to need twice what a pass keeps of it, for gradients and temporaries.
    """
    device = example.device
    bytes_each = 2 * activation_bytes(copied, example, label)
    fitting = activation_budget(device) // max(bytes_each, 1)
    return max(min(fitting, LARGEST_BATCH.get(device.type, 256)), 1)


def _kind(copied: nn.Module, inputs: torch.Tensor) -> object:
    """The key of a plan: the layers, the kinds of parameters, which are the same, and of inputs.

    Whatever else a plan depends on is compared in each pass.
    """
    layers = tuple((name, type(module)) for name, module in copied.named_modules())
    named = list(copied.named_parameters(remove_duplicate=False))
    first: dict[int, str] = {}
    parameters = tuple(
        (name, first.setdefault(id(p), name), p.shape, p.dtype, p.device.type) for name, p in named
    )
    return layers, parameters, inputs.shape[1:], inputs.stride()[1:], inputs.dtype, inputs.device
