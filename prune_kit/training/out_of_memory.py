"""Running out of memory, and going on in smaller batches."""

import torch

from prune_kit.errors import RunError
from prune_kit.machine import memory_bytes

# for a batch's activations; a constant, since the size of a batch can change the last bits
CPU_BYTES = 2 * 2**30


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on a GPU or on the CPU.

    On a CPU torch has no type for it; its words are read.
    """
    return isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or (
        isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
    )


def free_bytes(device: torch.device) -> int:
    """Give the bytes of memory that a training may count on.

    On a GPU they are what is free, and what torch has reserved and does not use. On a CPU they are
    all there is, for the pages of files come and go.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0] + kept)
    return memory_bytes() or 2**62


def activation_budget(device: torch.device) -> int:
    """Give the bytes that a batch may take.

    On a GPU they are half of what is free; on a CPU 2 GiB, or half of all memory if that is less.
    The latter does not depend on what else runs there, so the same inputs give the same bits.
    """
    if device.type == "cuda":
        return free_bytes(device) // 2
    return min(CPU_BYTES, memory_bytes() // 2) or CPU_BYTES


def halved(size: int, error: Exception, what: str) -> int:
    """Give half of a batch size, since a batch did not fit into memory.

    Parameters
    ----------
    size : the number of examples that did not fit.
    error : what was raised.
    what : what did not fit, in words: "the gradient norm".

    Raises
    ------
    RunError when a single example does not fit. The `error` itself, unless memory ran out.
    """
    if not is_out_of_memory(error):
        raise error
    if size == 1:
        raise RunError(f"{what} of a single example does not fit into memory: {error}") from error
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()
    return size // 2
