"""The norm of each example's own gradient, over all parameters, exact, at close to the price of one backward pass.

    g_i = || d crossentropy(f(x_i), y_i) / d w ||_2

Read on in `gradient_plan.py` (which way for which parameter), `gradient_pass.py` (the one pass),
`closed_forms.py` and `convolution_norms.py` (the mathematics), `gradient_fallbacks.py` (what has no
closed form).
"""

from weakref import WeakKeyDictionary

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import nn

from prune_kit.data.dataset import Dataset
from prune_kit.measures.gradients import fallbacks, plan
from prune_kit.measures.gradients.copies import working_copy
from prune_kit.measures.gradients.passage import Unexpected, activation_bytes
from prune_kit.measures.gradients.plan import Plan
from prune_kit.protocol.execution import ResolvedExecution
from prune_kit.training import images
from prune_kit.training.allocator import keep_freed_memory
from prune_kit.training.out_of_memory import activation_budget, halved

LARGEST_BATCH = {"cpu": 256, "cuda": 2048}
BF16_ERROR = 0.01  # relative; above it the arithmetic stays in float32

_plans: WeakKeyDictionary[nn.Module, dict[object, Plan]] = WeakKeyDictionary()


def per_example_gradient_norms(
    model: nn.Module, inputs: Float[torch.Tensor, "B *shape"], labels: Int[torch.Tensor, "B"]
) -> Float[torch.Tensor, "B"]:
    """The L2 norm of the gradient of each example's cross-entropy with respect to all parameters of `model`.

    All means all, also those with `requires_grad=False`. The network is evaluated in eval mode
    (batch norm by its running statistics, no dropout), since in training mode the examples of a
    batch are not independent. The work is done on a copy that shares the parameters' memory, so the
    model stays as it is, also after an exception. The result does not depend on how examples are
    batched. The first batch of its kind costs more: there, the fast ways are compared with single
    examples in float64. Source: Data Diet, definition 2.1.

    Raises RunError when examples have no gradient of their own (batch statistics), or the network
    gives no logits.
    """
    with torch.inference_mode(False):
        copied, inputs, labels = working_copy(model), _ordinary(inputs), _ordinary(labels)
        plans, kind = _plans.setdefault(model, {}), _kind(model, inputs)
        chosen = plans.get(kind) or plan.plan(model, inputs)
        if len(plan.distinct_rows(inputs)) > 1:  # otherwise there was nothing to compare
            plans[kind] = chosen
        return _norms(chosen, copied, inputs, labels)


def data_gradient_norms(
    model: nn.Module, data: Dataset, execution: ResolvedExecution
) -> tuple[Float[np.ndarray, "N"], str]:
    """`per_example_gradient_norms` of every row of `data`, float32, as the training would present them unaugmented.

    The batch is as large as the memory allows, and halved when it does not. With gradient precision
    bf16 the passes run under autocast if that changes no norm of the first batch by 1% or more. The
    second value says in which `arithmetic` they were computed. Raises RunError as the function
    above, and when a single example does not fit into memory.
    """
    keep_freed_memory()
    device = torch.device(execution.device)
    pictures = images.on_device(data.images, *images.normalisation(data), device)
    labels = torch.from_numpy(data.labels).to(device)
    copied = working_copy(model).to(device).to(memory_format=torch.channels_last)
    size = min(_batch_size(copied, pictures.batch(slice(0, 1)), labels[:1]), len(data))
    chosen = plan.plan(copied, pictures.batch(slice(0, size)))
    precision, start = execution.gradient_precision, 0
    # not a list of batches: small arrays that stay between large ones that go would make the heap
    # grow
    norms = np.empty(len(data), dtype=np.float32)
    while start < len(data):
        rows, failure = slice(start, start + size), None
        batch = pictures.batch(rows)
        try:
            if start == 0:
                precision = _accepted_precision(chosen, copied, batch, labels[rows], precision)
            norms[rows] = (
                _norms(chosen, copied, batch, labels[rows], precision).float().cpu().numpy()
            )
        except (RuntimeError, MemoryError) as error:
            failure = error.with_traceback(None)  # whose frames would hold on to the memory
        if failure is not None:
            size = halved(size, failure, "the gradient norm")
            continue
        start += size
    return norms, arithmetic(precision, device)


def arithmetic(precision: str, device: torch.device) -> str:
    """In words, what a pass in `precision` computes in: "bf16", "fp32", or on a GPU "fp32 (TF32 allowed)"."""
    tf32 = device.type == "cuda" and (
        torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32
    )
    return f"{precision} (TF32 allowed)" if precision == "fp32" and tf32 else precision


def _ordinary(tensor: torch.Tensor) -> torch.Tensor:
    """Without a graph, and as a tensor that autograd takes, which those made in inference mode are not."""
    return tensor.clone() if tensor.is_inference() else tensor.detach()


def _norms(
    chosen: Plan,
    copied: nn.Module,
    inputs: torch.Tensor,
    labels: torch.Tensor,
    precision: str = "fp32",
) -> torch.Tensor:
    try:
        squares = chosen.squares(copied, inputs, labels, precision)
    except Unexpected:  # a network whose path depends on the data
        squares = fallbacks.single_squares(copied, inputs, labels)
    total = torch.zeros(len(inputs), dtype=inputs.dtype, device=inputs.device)
    for part in squares.values():
        total = total + part
    return total.sqrt().to(inputs.dtype)


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
    """How many examples fit: twice what one pass keeps of one example, for gradients and temporaries."""
    each = 2 * activation_bytes(copied, example, label)
    device = example.device
    return max(
        min(activation_budget(device) // max(each, 1), LARGEST_BATCH.get(device.type, 256)), 1
    )


def _kind(model: nn.Module, inputs: torch.Tensor) -> object:
    """What a plan holds for: the layers, the shapes of parameters, and the kind of inputs."""
    layers = tuple((name, type(module)) for name, module in model.named_modules())
    shapes = tuple((name, p.shape) for name, p in model.named_parameters(remove_duplicate=False))
    return layers, shapes, inputs.shape[1:], inputs.dtype, inputs.device.type
