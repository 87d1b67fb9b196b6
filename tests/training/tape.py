"""A CUDA graph on the CPU: what a step does to memory is recorded without being done, and replayed
on the same memory.

As there, all that Python decided stays as it was when it was recorded, every tensor keeps its
place, and what would make the host wait for the device cannot be recorded.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

WAITING = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal"}


def tape(step: Callable[[], None]) -> Callable[[], None]:
    """Record a step; gives its replay."""
    recording = _Recording()
    try:
        with torch.random.fork_rng(devices=[]), recording:
            step()
    finally:
        for tensor, kept in recording.before.values():
            tensor.copy_(kept)
    return recording.replay


class _Recording(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []
        self.before: dict[
            int, tuple[torch.Tensor, torch.Tensor]
        ] = {}  # what is written to, by its address

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = function.overloadpacket.__name__
        if name in WAITING:
            raise RuntimeError(f"operation not permitted when stream is capturing: {function}")
        kwargs = kwargs or {}
        if (
            function._schema.is_mutable or "batch_norm" in name
        ):  # which moves running statistics, and does not say so
            for tensor in _tensors((args, kwargs)):
                self.before.setdefault(
                    tensor.data_ptr(), (tensor.detach(), tensor.detach().clone())
                )
        result = function(*args, **kwargs)
        self.calls.append((function, args, kwargs, result))
        return result

    def replay(self) -> None:
        with torch.no_grad():
            for function, args, kwargs, result in self.calls:
                for place, value in zip(
                    _tensors(result), _tensors(function(*args, **kwargs)), strict=True
                ):
                    if place.untyped_storage().data_ptr() != value.untyped_storage().data_ptr():
                        place.copy_(value)


def _tensors(values: Any) -> list[torch.Tensor]:
    return [value for value in tree_flatten(values)[0] if isinstance(value, torch.Tensor)]
