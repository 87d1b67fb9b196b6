"""The picture of a selection in the terminal, and what select says beside it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit import pipeline
from prune_kit.results.selection import DROPPED_EASY, DROPPED_HARD, KEPT
from prune_kit_cli.main import exit_code
from prune_kit_cli.views.histogram import BINS, BLOCKS, histogram
from tests.small_tables import selection_of, table_of

BARS_FROM = 25
NUMBERS = st.lists(
    st.one_of(st.floats(width=32), st.sampled_from([0.0, 1.0, float("nan")])),
    min_size=1,
    max_size=50,
)


def picture_of(values, reason, **fields):
    return histogram(
        selection_of(reason, score=np.asarray(values, np.float32), **fields)
    ).plain.splitlines()


def bars(line):
    return line[BARS_FROM:].ljust(BINS)


@given(values=NUMBERS, seed=st.integers(0, 100))
def test_whatever_the_scores_the_picture_is_small_and_counts_every_finite_row(values, seed):
    reason = np.random.default_rng(seed).integers(0, 6, len(values))
    lines = picture_of(values, reason)
    assert 1 <= len(lines) <= 8
    assert all(len(line) <= 80 for line in lines[1:])
    finite = np.isfinite(np.asarray(values, np.float32)) & (reason != 5)
    counted = [int(line.split()[1].replace(",", "")) for line in lines[1:-1]]
    assert sum(counted) == finite.sum()
    for line, count in zip(lines[1:-1], counted, strict=True):
        assert (count == 0) == (not bars(line).strip())
        assert set(bars(line)) <= set(BLOCKS) | {" "}


def test_the_window_lies_between_what_is_dropped_at_both_ends():
    selection = pipeline.select(table_of(range(BINS)), keep=0.5, offset=0.25)
    lines = histogram(selection).plain.splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["kept", "dropped-easy", "dropped-hard"]
    quarter, full = BINS // 4, BLOCKS[-1]
    assert bars(lines[1]) == " " * quarter + full * 2 * quarter + " " * quarter
    assert bars(lines[2]) == full * quarter + " " * 3 * quarter
    assert bars(lines[3]) == " " * 3 * quarter + full * quarter
    assert bars(lines[-1]) == "0" + "47".rjust(BINS - 1)


def test_heights_go_with_the_number_of_rows_and_any_row_is_seen():
    lines = picture_of([0.0] * 16 + [0.5] * 8 + [1.0], [KEPT] * 25)
    assert bars(lines[1])[0] == BLOCKS[7]
    assert bars(lines[1])[BINS // 2] == BLOCKS[3]
    assert bars(lines[1])[-1] == BLOCKS[0]
    assert lines[0] == "el2n@20 of 25 training rows, heights: number of rows"


def test_steep_heights_are_logarithms_and_the_picture_says_so():
    lines = picture_of([0.0] * 1000 + [0.5] * 31 + [0.7, 1.0], [KEPT] * 1033)
    assert lines[0].endswith("heights: logarithm of the number of rows")
    assert (bars(lines[1])[0], bars(lines[1])[BINS // 2], bars(lines[1])[-1]) == (
        BLOCKS[7],
        BLOCKS[4],
        BLOCKS[0],
    )


def test_a_constant_column_is_one_bar_over_one_number():
    lines = picture_of([0.25] * 5, [KEPT, KEPT, DROPPED_EASY, DROPPED_EASY, DROPPED_HARD])
    assert len([mark for mark in bars(lines[1]) if mark != " "]) == 1
    assert lines[-1].strip() == "0.25"


def test_scores_that_are_not_finite_are_counted_in_words():
    lines = picture_of([0.0, 1.0, float("inf"), float("nan")], [KEPT] * 4)
    assert lines[0].startswith(
        "el2n@20 of 2 training rows, heights: number of rows; 2 without a finite score"
    )
    assert picture_of([float("nan")] * 2, [KEPT] * 2) == [
        "el2n@20: no training row has a finite score to draw"
    ]


def test_there_is_no_picture_without_a_score():
    assert histogram(selection_of([KEPT, DROPPED_EASY], column="", rule="random")) is None


# above 70 % pruned


@pytest.mark.parametrize(
    ("rule", "options", "warned"),
    [
        ("top", {"keep": 0.29}, True),
        ("top", {"keep": 0.29, "per_class": True}, True),
        ("top", {"keep": 0.3}, False),
        ("window", {"keep": 0.1, "offset": 0.05}, True),
        ("window", {"keep": 0.1, "offset": 0.1}, False),
        ("window", {"keep": 0.1, "offset": 0.9, "offset_from": "easy"}, True),
        ("bottom", {"keep": 0.1}, False),
        ("prototypes", {"keep": 0.1}, True),
        ("prototypes", {"keep": 0.1, "keep_easy": True}, False),
        ("moderate", {"keep": 0.1}, False),
        ("coverage", {"keep": 0.1}, False),
        ("coverage", {"keep": 0.1, "drop_hardest": 0.3}, False),
        ("random", {"keep": 0.1}, False),
    ],
)
def test_little_of_the_hard_end_is_known_to_fall_below_random(rule, options, warned):
    table = table_of(np.random.default_rng(0).random(200), label=np.arange(200) % 2)
    assert pipeline.select(table, rule=rule, **options).falls_below_random is warned


# the command


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).random(100)
    table_of(values, name="el2n@20").write(tmp_path / "work" / "scores.h5")
    return tmp_path / "work"


def call(capsys, line, work):
    code = exit_code([*line.split(), "--workdir", str(work)])
    return code, *capsys.readouterr()


def test_select_and_info_draw_and_json_and_quiet_do_not(work, capsys):
    code, shown, _ = call(capsys, "select --keep 0.5 --offset 0.1", work)
    assert code == 0
    assert "el2n@20 of 100 training rows, heights: number of rows" in shown
    assert any(mark in shown for mark in BLOCKS[:-1])
    for line in ("select --json", "info --json", "select --quiet", "info --quiet"):
        code, out, _ = call(capsys, line, work)
        assert code == 0
        assert not any(mark in out for mark in BLOCKS)
    code, told, _ = call(capsys, f"info {work / 'selection.h5'}", work)
    assert code == 0
    assert "el2n@20 of 100 training rows" in told
    code, plain, _ = call(capsys, "select --rule random", work)
    assert code == 0
    assert "heights" not in plain


def test_select_warns_in_one_line_and_names_the_alternative(work, capsys):
    _, _, told = call(capsys, "select --rule top --keep 0.2", work)
    [line] = [line for line in told.splitlines() if "known to fall below random" in line]
    assert "95.4 at 30 % pruned, 34.0 at 90 %" in line
    assert line.endswith("Try --rule coverage")
    for words in (
        "--rule coverage --keep 0.2",
        "--rule top --keep 0.4",
        "--rule top --keep 0.2 --quiet",
    ):
        _, _, told = call(capsys, f"select {words}", work)
        assert "known to fall below" not in told


def test_options_of_the_new_rules_reach_them(work, capsys):
    for words, told in (
        ("--rule coverage --keep 0.2 --drop-hardest 0.1 --bins 10 --seed 3", "kept 20 of 100"),
        ("--rule moderate --keep 0.2 --no-per-class", "kept percentiles"),
        ("--rule prototypes --keep 0.4 --keep-easy", "kept percentiles 0.0 to 40.0"),
    ):
        code, shown, _ = call(capsys, f"select {words}", work)
        assert code == 0
        assert told in shown


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            "--rule coverage --offset 0.1",
            "--rule coverage takes no --offset; it takes --drop-hardest",
        ),
        ("--rule top --bins 5", "--rule top takes no --bins; it takes --per-class"),
        ("--drop-hardest 0.1", "--rule window takes no --drop-hardest"),
        ("--rule top --keep-easy", "--rule top takes no --keep-easy"),
        (
            "--rule coverage --drop-hardest 0.1 --suspect-by aum@20",
            "unknown column 'aum@20'. There are: el2n@20",
        ),
        ("--rule coverage --bins 0", "--bins 0 is out of range; at least 1"),
        ("--rule coverage --keep 0.9 --drop-hardest 0.2", "the largest is --drop-hardest 0.1"),
        ("--rule coverage --suspect-by el2n@20", "say how much: --drop-hardest 0.1"),
    ],
)
def test_options_that_do_not_fit_get_one_line(work, capsys, words, told):
    code, out, err = call(capsys, f"select {words}", work)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert told in err


def test_the_help_shows_the_new_options(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert exit_code(["select", "--help"]) == 0
    told = capsys.readouterr().out
    assert all(
        f"--{name}" in told
        for name in ("drop-hardest", "suspect-by", "bins", "keep-easy", "no-per-class")
    )
