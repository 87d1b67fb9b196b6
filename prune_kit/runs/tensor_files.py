"""Tensors in safetensors files, with a checksum: weights, and what a training goes on from."""

import hashlib
import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from prune_kit.errors import FileError
from prune_kit.storage import files

CHECKSUM = "blake2b"  # the name under which the metadata keep it


def owned(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copy tensors to the CPU so that none shares memory with another: safetensors refuses that."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    """Write tensors and metadata, with a checksum over both among the latter.

    Parameters
    ----------
    path : the file that is replaced.
    tensors : by name; contiguous, and on the CPU.
    metadata : words by name.
    """
    files.write_bytes(path, save(tensors, metadata | {CHECKSUM: _checksum(tensors, metadata)}))


def read_tensors(
    path: Path, *, checked: bool = False
) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """Read the tensors and the metadata that `write_tensors` wrote.

    Raises FileError when the file is damaged. Where it must be `checked`, it must have a checksum.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise FileError(
            f"{path} is damaged ({error}); remove its folder, and the run is trained again"
        ) from error
    written = metadata.pop(CHECKSUM, None)
    if (checked or written is not None) and written != _checksum(tensors, metadata):
        raise FileError(
            f"{path} is damaged (its checksum does not hold); remove its folder, and the run is "
            "trained again"
        )
    return tensors, metadata


def _checksum(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> str:
    digest = hashlib.blake2b(json.dumps(metadata, sort_keys=True).encode(), digest_size=32)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
