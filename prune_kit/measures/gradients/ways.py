"""How the call of one layer is measured."""

import torch

from prune_kit.measures.gradients import fallbacks
from prune_kit.measures.gradients.closed_forms import Form, Squares
from prune_kit.measures.gradients.fallbacks import Rows
from prune_kit.measures.gradients.passes import Call, Measure

HALF = (torch.float16, torch.bfloat16)


def by_form(form: Form) -> Measure:
    """Measure a call by the formula of its layer."""

    def measure(call: Call, gradient: torch.Tensor, examples: int) -> Squares:
        (inputs,) = (*call.args, *call.kwargs.values())
        if call.layer.weight.dtype in HALF:  # autocast leaves the weights in float32
            gradient = gradient.float()
            inputs = inputs.float() if inputs.is_floating_point() else inputs
        return form(call.layer, inputs, gradient, examples)

    return measure


def by_layer(rows: Rows) -> Measure:
    """Measure a call by the vector-Jacobian product of its layer, with so many rows."""

    def measure(call: Call, gradient: torch.Tensor, examples: int) -> Squares:
        return fallbacks.layer_squares(call, gradient, examples, rows)

    return measure
