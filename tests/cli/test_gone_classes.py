"""What `select` says of classes of which it keeps nothing, or little."""

from pathlib import Path

import numpy as np
import pytest

from prune_kit_cli.main import exit_code
from tests.small_tables import table_of

SIZES = {"ship": 3, "truck": 4, "plane": 5, "car": 6, "dog": 20}


def warned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], easy: list[str], *words: str, keep: int
) -> str:
    """The notes of a selection of the `keep` hardest rows, in which these classes are easy."""
    label = np.repeat(np.arange(len(SIZES)), list(SIZES.values()))
    names = tuple(SIZES)
    score = [0.0 if names[number] in easy else 1.0 + row for row, number in enumerate(label)]
    table_of(score, label=label, class_names=names).write(tmp_path / "scores.h5")
    share = str(keep / len(label))
    assert exit_code(["select", "--keep", share, "--workdir", str(tmp_path), *words]) == 0
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("easy", "told"),
    [
        ([], ""),
        (["ship"], "class ship is gone: 0 of 3 kept"),
        (["car", "ship"], "classes car and ship are gone: 0 of 9 rows kept"),
        (["car", "plane", "ship"], "classes car, plane and ship are gone: 0 of 14 rows kept"),
        (
            ["car", "plane", "ship", "truck"],
            "classes car, plane and 2 more are gone: 0 of 18 rows kept",
        ),
    ],
)
def test_classes_that_are_gone_are_named_with_the_way_out(tmp_path, capsys, easy, told):
    keep = sum(size for name, size in SIZES.items() if name not in easy)
    err = warned(tmp_path, capsys, easy, keep=keep)
    assert ("is gone" in err or "are gone" in err) == bool(easy)
    if told:
        assert f"note {told}; --per-class keeps the same share of each class" in err
    assert "less than half of the average share" not in err


def test_with_per_class_nothing_is_gone(tmp_path, capsys):
    assert "gone" not in warned(tmp_path, capsys, ["ship"], "--per-class", keep=19)
