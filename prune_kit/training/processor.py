"""What this machine's processor is good at, where that decides how a network is trained."""

from functools import cache
from pathlib import Path

BF16_PIXELS = 20 * 20  # smaller images, such as the 8x8 digits, keep the matrix units waiting


@cache
def has_bf16_units() -> bool:
    """Whether this CPU multiplies matrices in bf16 by units of its own (AMX), as Linux tells."""
    info = Path("/proc/cpuinfo")
    return info.is_file() and " amx_bf16" in info.read_text("utf-8", "replace")


def cpu_precision(model: str, shape: tuple[int, int, int]) -> str:
    """The precision in which this CPU trains a network fastest, on images of `shape` (height, width, channels).

    With matrix units for it, that is bf16: convolutions are 1.5 times as fast from 28x28 pixels on. Perceptrons and
    networks on 8x8 images gain nothing from it (benchmarks/RESULTS.md), and stay in fp32.
    """
    pays = has_bf16_units() and model != "mlp" and shape[0] * shape[1] >= BF16_PIXELS
    return "bf16" if pays else "fp32"
