"""Every random number has a seed and a purpose; the global generators are left as they were."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derived_seed(seed: int, purpose: str, number: int = 0) -> int:
    """A 63-bit seed that depends on all three: seeds of different purposes never meet."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, purpose: str, number: int = 0) -> torch.Generator:
    """A CPU generator of its own; drawing on the CPU gives the same numbers whatever the device."""
    return torch.Generator().manual_seed(derived_seed(seed, purpose, number))


@contextmanager
def seeded(seed: int, purpose: str, number: int = 0) -> Iterator[None]:
    """Seed torch's global generators inside the block (initialisation, dropout), and put them back after it."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derived_seed(seed, purpose, number))
        yield
