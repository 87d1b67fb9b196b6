"""Random numbers by seed and purpose. The global generators do not change."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def derived_seed(seed: int, purpose: str, number: int = 0) -> int:
    """A seed that depends on a seed, a purpose and a number, so that purposes do not share streams.

    Parameters
    ----------
    seed
        The seed.
    purpose
        What the random numbers are for.
    number
        Tells apart several streams for one purpose.

    Returns
    -------
    int
        A seed of 63 bits.
    """
    digest = hashlib.blake2b(f"{seed}/{purpose}/{number}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, purpose: str, number: int = 0) -> torch.Generator:
    """A new generator on the CPU, so that the numbers do not depend on the device.

    Parameters
    ----------
    seed
        The seed.
    purpose
        What the random numbers are for.
    number
        Tells apart several streams for one purpose.

    Returns
    -------
    torch.Generator
        The generator, seeded by `derived_seed`.
    """
    return torch.Generator().manual_seed(derived_seed(seed, purpose, number))


@contextmanager
def seeded(seed: int, purpose: str, number: int = 0) -> Iterator[None]:
    """Seed torch's global generators for the block, and restore them after it.

    Initialisation and dropout draw from them.

    Parameters
    ----------
    seed
        The seed.
    purpose
        What the random numbers are for.
    number
        Tells apart several streams for one purpose.
    """
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derived_seed(seed, purpose, number))
        yield
