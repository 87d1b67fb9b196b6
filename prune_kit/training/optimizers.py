"""The optimiser of a training, and its state as named tensors and plain values.

    optimizer.<buffer>.<parameter>     a tensor that the optimiser keeps for a parameter
    optimizer_group.<number>.<name>    a tensor that it keeps for a group of parameters
    momentum.<parameter>               what state files of an earlier layout call the momentum_buffer

No buffer is named here: whatever an optimiser keeps is saved, and restored under its own name.
"""

import json
from typing import Any

import torch
from torch import nn

from prune_kit.protocol.config import TrainConfig

Tensors = dict[str, torch.Tensor]
PLAIN = (bool, int, float, str, type(None))
NOT_STATE = ("params", "lr")  # the parameters themselves, and what every step sets


def optimizer_for(model: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """Make the optimiser of a training: stochastic gradient descent over all parameters.

    Parameters
    ----------
    model : the network, where it is trained.
    config : the protocol, which gives the rate, the momentum and the weight decay.
    """
    return torch.optim.SGD(
        model.parameters(),
        lr=config.learning_rate,
        momentum=config.momentum,
        nesterov=config.nesterov,
        weight_decay=config.weight_decay,
        fused=True,
    )


def optimizer_state(model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[Tensors, str]:
    """Give all that the optimiser goes on from.

    Parameters
    ----------
    model : the network whose parameters the optimiser has.
    optimizer : any optimiser of torch, or one that has a `state_dict` of the same form.

    Returns
    -------
    Its tensors by the names above, which share its memory; and its other values as JSON text. Of a
    group's settings, those that are no number, text or tensor are left out: they do not change.

    Raises
    ------
    TypeError when the state of a parameter holds what is neither a tensor nor a plain value.
    """
    state = optimizer.state_dict()
    names = _parameter_names(model, optimizer)
    tensors: Tensors = {}
    values: dict[str, dict[str, Any]] = {}
    for number, kept in state["state"].items():
        for name, value in kept.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{name}.{names[number]}"] = value
            elif isinstance(value, PLAIN):
                values.setdefault(names[number], {})[name] = value
            else:
                raise TypeError(f"the optimiser keeps {name}, a {type(value).__name__}")
    groups: list[dict[str, Any]] = []
    for number, group in enumerate(state["param_groups"]):
        settings = {name: value for name, value in group.items() if name not in NOT_STATE}
        groups.append({n: value for n, value in settings.items() if isinstance(value, PLAIN)})
        tensors |= {
            f"optimizer_group.{number}.{name}": value
            for name, value in settings.items()
            if isinstance(value, torch.Tensor)
        }
    return tensors, json.dumps({"parameters": values, "groups": groups})


def restore_optimizer(
    model: nn.Module, optimizer: torch.optim.Optimizer, saved: Tensors, values: str
) -> None:
    """Put back what `optimizer_state` gave, so that training goes on from there to the same bits.

    Parameters
    ----------
    model, optimizer : made anew, as those were whose state this is.
    saved : tensors by name, on the CPU. Those of other names are left alone.
    values : the JSON text; "" where a state file of the earlier layout has none.
    """
    plain = json.loads(values or "{}")
    parameters = dict(model.named_parameters())
    kept: dict[str, dict[str, Any]] = {
        name: dict(entry) for name, entry in plain.get("parameters", {}).items()
    }
    state = optimizer.state_dict()
    for group, entry in zip(state["param_groups"], plain.get("groups", []), strict=False):
        group |= entry
    for full_name, tensor in renamed(saved).items():
        kind, _, rest = full_name.partition(".")
        first, _, last = rest.partition(".")
        if kind == "optimizer":
            kept.setdefault(last, {})[first] = _laid_out(tensor, parameters[last])
        elif kind == "optimizer_group":
            device = next(iter(parameters.values())).device
            state["param_groups"][int(first)][last] = tensor.to(device)
    names = _parameter_names(model, optimizer)
    numbers = {name: number for number, name in enumerate(names)}
    state["state"] = {numbers[name]: entry for name, entry in kept.items()}
    optimizer.load_state_dict(state)


def renamed(saved: Tensors) -> Tensors:
    """Give the same tensors, those of the earlier layout under the names of today."""
    return {
        f"optimizer.momentum_buffer.{name.removeprefix('momentum.')}"
        if name.startswith("momentum.")
        else name: tensor
        for name, tensor in saved.items()
    }


def _parameter_names(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[str]:
    """The names of the parameters, in the order in which a state dictionary numbers them."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(p)] for group in optimizer.param_groups for p in group["params"]]


def _laid_out(tensor: torch.Tensor, parameter: torch.Tensor) -> torch.Tensor:
    """`tensor` in the parameter's memory layout: the fused optimiser reads both as they lie."""
    if tensor.shape != parameter.shape:
        return tensor
    laid_out = torch.empty_like(
        parameter, dtype=tensor.dtype, device=tensor.device, requires_grad=False
    )
    return laid_out.copy_(tensor)
