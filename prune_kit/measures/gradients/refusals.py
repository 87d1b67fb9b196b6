"""Networks for which a per-example gradient norm is not defined, or would silently miss a part: refused by name."""

from typing import Any

import torch
from torch import nn

from prune_kit.errors import RunError

COUPLING = 1e-7  # of the logits' size, in float64


def refuse_batch_statistics(model: nn.Module) -> None:
    """Raise RunError if a batch norm has no running statistics: then it uses the batch's, in eval mode too."""
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.running_mean is None:
            raise RunError(
                f"{name or 'the network'} ({type(module).__name__}) keeps no running statistics, "
                "so the examples of a batch share theirs and no example has a gradient of its own. "
                "Build it with track_running_stats=True"
            )


def refuse_foreign_parameters(copied: nn.Module, example: torch.Tensor) -> None:
    """Raise RunError if a frozen working copy still depends on trainable parameters: they are not its own.

    Such as those of the network that was copied, which a function stored in it holds on to.
    """
    with torch.enable_grad():
        logits = copied(example)
    waiting: list[Any] = (
        [logits.grad_fn] if isinstance(logits, torch.Tensor) and logits.requires_grad else []
    )
    seen = set(waiting)
    while waiting:
        node = waiting.pop()
        if isinstance(getattr(node, "variable", None), nn.Parameter):
            raise RunError(
                f"{type(copied).__name__} uses a parameter of shape {tuple(node.variable.shape)} "
                "that is not its own (a function stored in it, such as a lambda, may hold on to "
                "another module). Register the module"
            )
        following = {other for other, _ in node.next_functions if other is not None} - seen
        seen |= following
        waiting += following


def refuse_coupling(copied: nn.Module, examples: torch.Tensor) -> None:
    """Raise RunError if the logits of an example depend on the others in its batch, naming the first module that does.

    `copied` and `examples` are in float64, where rounding cannot be mistaken for it.
    """
    with torch.no_grad():
        together = copied(examples)
        alone = torch.cat([copied(example[None]) for example in examples])
    if _differ(together, alone):
        raise RunError(
            f"{_coupling_module(copied, examples)} makes the examples of a batch depend on each "
            "other (or on chance) in eval mode, so that no example has a gradient of its own"
        )


def _coupling_module(copied: nn.Module, examples: torch.Tensor) -> str:
    together, alone = _traced(copied, examples), _traced(copied, examples[:1])
    for (name, output), (_, expected) in zip(together, alone, strict=False):
        if len(output) == len(expected) * len(examples) and _differ(
            output[: len(expected)], expected
        ):
            return f"{name} ({type(copied.get_submodule(name)).__name__})"
    return type(copied).__name__


def _traced(copied: nn.Module, inputs: torch.Tensor) -> list[tuple[str, torch.Tensor]]:
    """The outputs of all modules, in the order in which they are ready: what is inside comes first."""
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
            copied(inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs


def _differ(a: torch.Tensor, b: torch.Tensor) -> bool:
    return bool(((a - b).abs().max() > COUPLING * b.abs().max()).item())
