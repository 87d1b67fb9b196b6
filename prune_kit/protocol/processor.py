"""What this machine's processor is good at, where that decides how a network is trained."""

from functools import cache
from pathlib import Path

BF16_PIXELS = 20 * 20  # smaller images, such as the 8x8 digits, gain little or nothing
CPU_INFO = Path("/proc/cpuinfo")
BF16_FLAGS = (" amx_bf16", " avx512_bf16")


@cache
def multiplies_bf16() -> bool:
    """Whether this CPU multiplies in bf16 itself: by matrix units (AMX) or AVX512, says Linux."""
    told = CPU_INFO.read_text("utf-8", "replace") if CPU_INFO.is_file() else ""
    return any(flag in told for flag in BF16_FLAGS)


def cpu_precision(model: str, shape: tuple[int, int, int]) -> str:
    """The precision in which this CPU trains a network fastest.

    `shape` is that of the images: height, width, channels.

    Where it multiplies in bf16, that is bf16: convolutions are 1.5 times as fast from 28x28 pixels
    on. Networks on 8x8 images gain nothing from it, perceptrons nothing with AMX
    (benchmarks/RESULTS.md); they stay in fp32.
    """
    pays = multiplies_bf16() and model != "mlp" and shape[0] * shape[1] >= BF16_PIXELS
    return "bf16" if pays else "fp32"
