import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit import pipeline
from prune_kit.data.identity import HELD_OUT
from prune_kit.errors import OptionError, TableError
from prune_kit.results.selection import DROPPED_EASY, DROPPED_HARD, HELD_OUT_REASON, KEPT
from tests.small_tables import kept_of, table_of

SHARE = st.one_of(
    st.floats(0, 1, exclude_min=True), st.sampled_from([0.05, 0.1, 0.25, 1 / 3, 0.5, 0.98, 1.0])
)


@st.composite
def parts(draw):
    """What makes a table: up to 40 rows, many ties of hardness, some of digests, three classes, a
    few rows held out."""
    n = draw(st.integers(1, 40))

    def numbers(low, high):
        return draw(st.lists(st.integers(low, high), min_size=n, max_size=n))

    role = numbers(0, 1) if draw(st.booleans()) else [0] * n
    role[draw(st.integers(0, n - 1))] = 0
    return {
        "values": np.array(numbers(-3, 3)) / 4,
        "harder": draw(st.sampled_from(["higher", "lower"])),
        "label": numbers(0, 2),
        "class_names": ("a", "b", "c"),
        "digest": numbers(0, 10 if draw(st.booleans()) else 2**63),
        "role": role,
    }


def brute_force(table, keep, offset, offset_from, per_class):
    """The reasons, one example after the other; None where a part would keep nothing."""
    column = table.column()
    sign = 1 if column.harder == "higher" else -1
    reasons = [HELD_OUT_REASON] * len(table.rows)
    training = [row for row in range(len(table.rows)) if table.rows.role[row] != HELD_OUT]
    parts = (
        [[row for row in training if table.rows.label[row] == c] for c in range(3)]
        if per_class
        else [training]
    )
    for part in filter(None, parts):
        left = sorted(
            part,
            key=lambda row: (sign * float(column.values[row]), int(table.rows.digest[row]), row),
        )
        count = round(keep * len(part))
        if count == 0:
            return None
        skipped = min(round(offset * len(part)), len(part) - count)
        hard = offset_from == "hard"
        end, here, beyond = (
            (-1, DROPPED_HARD, DROPPED_EASY) if hard else (0, DROPPED_EASY, DROPPED_HARD)
        )
        for reason, times in (
            (here, skipped),
            (KEPT, count),
            (beyond, len(part) - count - skipped),
        ):
            for _ in range(times):
                reasons[left.pop(end)] = reason
    return reasons


# the window is what brute force says


@given(
    parts=parts(),
    keep=SHARE,
    room=st.floats(0, 1),
    offset_from=st.sampled_from(["hard", "easy"]),
    per_class=st.booleans(),
)
def test_the_window_is_what_brute_force_says(parts, keep, room, offset_from, per_class):
    table = table_of(**parts)
    offset = room * (1 - keep)
    options = {"keep": keep, "offset": offset, "offset_from": offset_from, "per_class": per_class}
    expected = brute_force(table, keep, offset, offset_from, per_class)
    if expected is None:
        with pytest.raises(OptionError, match="is less than one example"):
            pipeline.select(table, **options)
    else:
        selection = pipeline.select(table, **options)
        assert selection.reason.tolist() == expected
        assert selection.index.tolist() == kept_of(expected)


@given(parts=parts(), keep=SHARE, per_class=st.booleans())
def test_top_and_bottom_are_windows_without_an_offset(parts, keep, per_class):
    table = table_of(**parts)
    for rule, offset_from in (("top", "hard"), ("bottom", "easy")):
        expected = brute_force(table, keep, 0, offset_from, per_class)
        if expected is not None:
            selection = pipeline.select(table, rule=rule, keep=keep, per_class=per_class)
            assert selection.reason.tolist() == expected


def test_the_default_skips_the_hardest_and_easy_is_data_diets_own_axis():
    table = table_of(range(10))
    assert pipeline.select(table, keep=0.5, offset=0.2).index.tolist() == [3, 4, 5, 6, 7]
    assert pipeline.select(table, keep=0.5, offset=0.2, offset_from="easy").index.tolist() == [
        2,
        3,
        4,
        5,
        6,
    ]
    assert pipeline.select(table, rule="top", keep=0.3).index.tolist() == [7, 8, 9]
    assert pipeline.select(table, rule="bottom", keep=0.3).index.tolist() == [0, 1, 2]


def test_a_column_in_which_lower_is_harder_is_turned_round():
    table = table_of(range(10), name="cumulative_pl@20", harder="lower")
    assert pipeline.select(table, keep=0.5, offset=0.2).index.tolist() == [2, 3, 4, 5, 6]
    assert pipeline.select(table, rule="top", keep=0.3).index.tolist() == [0, 1, 2]


# ties


@given(label=st.permutations([0, 0, 0, 0, 1, 1, 1, 1]), seed=st.integers(0, 1000))
def test_ties_follow_the_content_and_never_the_order_of_the_rows(label, seed):
    digest = np.random.default_rng(seed).permutation(8)
    selection = pipeline.select(table_of([0] * 8, label=label, digest=digest), keep=0.5)
    assert sorted(digest[selection.index]) == [4, 5, 6, 7]


def test_copies_of_one_example_follow_the_order_of_the_rows():
    assert pipeline.select(table_of([0] * 6, digest=[5] * 6), keep=0.5).index.tolist() == [3, 4, 5]


@given(parts=parts(), seed=st.integers(0, 1000), keep=SHARE)
def test_the_choice_does_not_depend_on_the_order_of_the_rows(parts, seed, keep):
    table = table_of(**parts)
    rows, values = table.rows, table.column().values
    order = np.random.default_rng(seed).permutation(len(rows))
    moved = table_of(
        values[order],
        harder=table.column().harder,
        label=rows.label[order],
        digest=rows.digest[order],
        role=rows.role[order],
        class_names=("a", "b", "c"),
    )
    if round(keep * len(rows.training)):
        before, after = (pipeline.select(t, keep=keep) for t in (table, moved))
        contents = [sorted(zip(t.rows.digest[s.index], t.hardness()[s.index], strict=True))
                    for t, s in ((table, before), (moved, after))]  # fmt: skip
        assert contents[0] == contents[1]


# refusals


@pytest.mark.parametrize("keep", [0.0, -0.1, 1.5, float("nan"), float("inf"), float("-inf")])
def test_a_share_to_keep_out_of_range_is_refused(keep):
    with pytest.raises(
        OptionError, match=rf"keep={keep:g} is out of range; .* above 0 and at most 1"
    ):
        pipeline.select(table_of(range(10)), keep=keep)


@pytest.mark.parametrize("offset", [-0.1, 1.5, float("nan"), float("inf")])
def test_an_offset_out_of_range_is_refused(offset):
    with pytest.raises(OptionError, match=rf"offset={offset:g} is out of range"):
        pipeline.select(table_of(range(10)), keep=0.5, offset=offset)


@given(keep=st.floats(0.01, 1), offset=st.floats(0, 1), n=st.integers(100, 300))
def test_more_than_everything_is_refused_and_the_offset_that_is_named_is_accepted(keep, offset, n):
    table = table_of(np.arange(n))
    if keep + offset <= 1:
        assert len(pipeline.select(table, keep=keep, offset=offset).index) == round(keep * n)
    elif keep + offset > 1 + 1e-6:
        with pytest.raises(OptionError, match="make more than 1; the largest is offset=") as caught:
            pipeline.select(table, keep=keep, offset=offset)
        largest = float(str(caught.value).rpartition("=")[2])
        assert 1 - keep - 2e-6 <= largest
        pipeline.select(table, keep=keep, offset=largest)


@pytest.mark.parametrize(
    ("keep", "largest"), [(0.9, "0.1"), (0.7, "0.3"), (1.0, "0"), (1 / 3, "0.666666")]
)
def test_the_largest_offset_is_named_in_short(keep, largest):
    with pytest.raises(OptionError, match=f"the largest is offset={largest}$"):
        pipeline.select(table_of(range(10)), keep=keep, offset=0.8)


@given(tenths=st.integers(1, 9))
def test_tenths_that_make_one_in_decimal_are_accepted(tenths):
    assert (
        len(pipeline.select(table_of(range(10)), keep=tenths / 10, offset=(10 - tenths) / 10).index)
        == tenths
    )


@given(n=st.integers(1, 2000))
def test_nothing_kept_is_refused_and_the_share_that_is_named_keeps_one(n):
    table = table_of(np.arange(n))
    with pytest.raises(
        OptionError, match=rf"of {n:,} examples is less than one example; the least is keep="
    ) as caught:
        pipeline.select(table, keep=0.4 / n)
    assert (
        len(
            pipeline.select(table, keep=float(re.findall(r"[\d.e-]+$", str(caught.value))[0])).index
        )
        == 1
    )


def test_nothing_kept_of_a_class_is_refused_by_its_name():
    table = table_of(range(11), label=[0] * 10 + [1], class_names=("cat", "dog"))
    assert len(pipeline.select(table, keep=0.4).index) == 4
    with pytest.raises(OptionError, match="of 1 examples of class 'dog' is less than one example"):
        pipeline.select(table, keep=0.4, per_class=True)


def test_a_class_without_training_rows_is_passed_over():
    table = table_of(range(4), label=[0, 0, 2, 2], class_names=("a", "b", "c"))
    assert pipeline.select(table, keep=0.5, per_class=True).index.tolist() == [1, 3]


def test_an_unknown_end_is_refused():
    with pytest.raises(OptionError, match=r"unknown `offset_from` 'middle'. There are: hard, easy"):
        pipeline.select(table_of(range(4)), offset_from="middle")


def test_a_training_row_without_a_score_is_refused_and_a_held_out_one_is_not():
    values = [1, float("nan"), 3, 4]
    assert pipeline.select(table_of(values, role=[0, 1, 0, 0]), keep=1.0).index.tolist() == [
        0,
        2,
        3,
    ]
    with pytest.raises(
        TableError,
        match=r"el2n@20 has no score \(NaN\) for 1 of 4 training rows, the first is row 1",
    ):
        pipeline.select(table_of(values))


def test_infinite_scores_are_the_ends_of_the_ranking():
    table = table_of([0, float("inf"), 1, float("-inf")])
    assert pipeline.select(table, rule="top", keep=0.25).index.tolist() == [1]
    assert pipeline.select(table, rule="bottom", keep=0.25).index.tolist() == [3]
