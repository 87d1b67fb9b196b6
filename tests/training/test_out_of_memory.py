from pathlib import Path

import pytest

from prune_kit.machine import container_limits


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/job\n", {"job/memory.max": "1000\n", "memory.max": "max\n"}, [1000]),
        ("0::/\n", {"memory.max": "2000\n"}, [2000, 2000]),
        ("4:memory:/job\n0::/\n", {"memory/job/memory.limit_in_bytes": "3000\n"}, [3000]),
        # in a container the path is that outside, and its own group is what is mounted
        ("4:cpu,memory:/docker/abc\n", {"memory/memory.limit_in_bytes": "4000\n"}, [4000]),
        ("4:cpu:/job\n", {"cpu/job/memory.limit_in_bytes": "1\n"}, []),
    ],
)
def test_the_memory_that_a_container_leaves_is_known(
    tmp_path: Path, groups: str, files: dict[str, str], expected: list[int]
) -> None:
    (tmp_path / "groups").write_text(groups)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert container_limits(tmp_path / "groups", tmp_path) == expected


def test_a_system_without_groups_has_no_limits(tmp_path: Path) -> None:
    assert container_limits(tmp_path / "groups", tmp_path) == []
