"""An evaluation as a picture and as tables."""

import io

import numpy as np
import pytest
from rich.console import Console

from prune_kit.cleaning.evaluation import evaluate
from prune_kit.errors import OptionError
from prune_kit.reporting.figures.evaluation import draw_evaluation
from prune_kit_cli.views.evaluation import evaluation_shown
from tests.cleaning.evaluated_rows import drawn, evaluated

PNG_HEADER = b"\x89PNG\r\n\x1a\n"


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_picture_is_written_and_the_same_each_time(tmp_path, suffix):
    found = evaluate(**drawn())
    one, again = (draw_evaluation(found, tmp_path / f"{name}{suffix}") for name in ("one", "again"))
    assert one.read_bytes() == again.read_bytes()
    assert one.read_bytes().startswith(PNG_HEADER if suffix == ".png" else b"<?xml")


def titled(found, tmp_path, monkeypatch):
    """The words of the picture's title."""
    titles = []
    monkeypatch.setattr(
        "matplotlib.axes.Axes.set_title", lambda _, text, **options: titles.append(text)
    )
    draw_evaluation(found, tmp_path / "titled.png")
    return titles[0]


def test_the_title_says_what_was_found_and_rounds_to_100_percent_only_what_is_whole(
    tmp_path, monkeypatch
):
    suspicion, wrong = np.arange(1000)[::-1], np.arange(1000) < 400
    title = titled(evaluated(suspicion, wrong, np.arange(1000) < 399), tmp_path, monkeypatch)
    assert title == "The cut finds over 99 % of the wrong labels; 100 % of the list is wrong"
    title = titled(evaluated(suspicion, wrong, np.arange(1000) >= 398), tmp_path, monkeypatch)
    assert title == "The list finds under 1 % of the wrong labels; under 1 % of it is wrong"
    nothing = evaluated(suspicion, wrong)
    assert (
        titled(nothing, tmp_path, monkeypatch)
        == "Nothing is flagged, though 40 % of the labels are wrong"
    )


def test_a_picture_of_nothing_wrong_is_refused(tmp_path):
    with pytest.raises(OptionError, match="nothing to draw; none of the 2 labels is wrong"):
        draw_evaluation(evaluated([1, 2], [0, 0]), tmp_path / "none.png")


def printed(found, names):
    console = Console(file=io.StringIO(), width=120)
    for item in evaluation_shown(found, names):
        console.print(item, markup=False)
    return console.file.getvalue()


def test_the_tables_say_the_numbers_and_a_dash_for_what_cannot_be_told():
    text = printed(
        evaluated([4, 3, 2, 1], [1, 1, 0, 0], [1, 0, 1, 0], noise_rate=(0.6, 0.55, 0.7)),
        ["[red]a", "b"],
    )
    assert "50.0 %  of the flagged rows are wrong" in text
    assert "+10.0 points from the true 50.0 %; the interval 55.0 to 70.0 % misses it" in text
    lines = {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}
    assert lines["[red]a"] == ["[red]a", "4", "2", "2", *"50.0 % 50.0 % 0.500 -".split()]
    assert lines["b"] == ["b", "0", "0", "0", "-", "-", "-", "-"]
    assert "no estimate" in printed(evaluated([1, 2], [0, 1]), ["a", "b"])


def test_of_many_classes_those_with_the_lowest_f1_are_shown_lowest_first():
    found = evaluate(**drawn(n=2000, classes=25))
    text = printed(found, [f"class{number}" for number in range(25)])
    shown = [
        int(line.split()[0][5:]) for line in text.splitlines() if line.strip().startswith("class")
    ]
    assert shown == sorted(range(25), key=lambda number: found.per_class[number].f1)[:20]
    assert "the other 5" in text
