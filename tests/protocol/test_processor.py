from pathlib import Path

import pytest

from prune_kit.protocol import processor
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.execution import Execution
from prune_kit.protocol.setup import Setup

PROTOCOL = TrainConfig(model="mlp", epochs=1)


@pytest.mark.parametrize(
    ("units", "model", "shape", "expected"),
    [
        (True, "convnet", (32, 32, 3), "bf16"),
        (True, "resnet18", (28, 28, 1), "bf16"),
        (True, "timm:vit_tiny_patch16_224", (224, 224, 3), "bf16"),
        (True, "convnet", (8, 8, 1), "fp32"),
        (True, "mlp", (32, 32, 3), "fp32"),
        (False, "convnet", (32, 32, 3), "fp32"),
    ],
)
def test_bf16_where_the_processor_has_units_for_it_and_the_network_keeps_them_busy(
    units: bool,
    model: str,
    shape: tuple[int, int, int],
    expected: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(processor, "multiplies_bf16", lambda: units)
    assert processor.cpu_precision(model, shape) == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu avx512f amx_bf16 amx_tile", True),
        ("fpu avx512f avx512_bf16 clzero", True),
        ("fpu avx2 avx512f", False),
    ],
)
def test_a_processor_that_multiplies_in_bf16_is_known_by_its_flags(
    flags: str, expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "cpuinfo"
    told.write_text(f"model name\t: some\nflags\t\t: {flags}\n")
    for path, answer in ((told, expected), (tmp_path / "absent", False)):
        monkeypatch.setattr(processor, "CPU_INFO", path)
        assert processor.multiplies_bf16.__wrapped__() is answer


def test_it_decides_only_what_is_left_open() -> None:
    def precision(asked: str, settled: str = "auto") -> str:
        earlier = None if settled == "auto" else Setup(protocol=PROTOCOL, precision=settled)
        asked_for = Execution(device="cpu", precision=asked)
        return asked_for.resolve(earlier=earlier, cpu_precision="bf16").precision

    assert [precision("auto"), precision("fp32"), precision("auto", "fp32")] == [
        "bf16",
        "fp32",
        "fp32",
    ]
    resolved = Execution(device="cpu").resolve(cpu_precision="bf16")
    assert resolved.gradient_precision == "fp32"
