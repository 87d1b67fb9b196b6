"""What every rule in the folder keeps to."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit import pipeline, registry
from prune_kit.errors import OptionError, TableError
from prune_kit.results.selection import REASONS
from tests.small_tables import table_of

RULES = registry.module_names(registry.SELECTORS)
every_rule = pytest.mark.parametrize("rule", RULES)


def some_table(seed, n=30):
    rng = np.random.default_rng(seed)
    return table_of(
        rng.random(n),
        label=np.arange(n) % 3,
        role=np.arange(n) % 5 == 0,
        class_names=("a", "b", "c"),
    )


def test_the_rules_of_the_design_are_there():
    assert {"window", "top", "bottom", "random"} <= set(RULES)


@every_rule
def test_a_rule_says_what_it_is_and_what_it_takes(rule):
    module = registry.load(registry.SELECTORS, rule, "rule")
    assert registry.summary(registry.SELECTORS, rule).startswith(f"{rule}: ")
    parameters = inspect.signature(module.select).parameters
    assert list(parameters) == ["table", "by", "keep", *module.OPTIONS]
    assert "per_class" in module.OPTIONS
    assert isinstance(module.USES_SCORES, bool)


@every_rule
@given(seed=st.integers(0, 1000), keep=st.floats(0.2, 1), per_class=st.booleans())
def test_a_rule_keeps_the_rounded_share_of_the_training_rows_and_nothing_else(
    rule, seed, keep, per_class
):
    table = some_table(seed)
    before = table.column().values.copy()
    selection = pipeline.select(table, rule=rule, keep=keep, per_class=per_class)
    parts = [table.rows.training[table.rows.label[table.rows.training] == c] for c in range(3)]
    assert len(selection.index) == (
        sum(round(keep * len(part)) for part in parts) if per_class else round(keep * 24)
    )
    assert set(selection.index) | set(selection.dropped) == set(table.rows.training)
    assert set(selection.index) & set(selection.dropped) == set()
    assert [REASONS[number] for number in selection.reason[::5]] == ["held-out"] * 6
    np.testing.assert_array_equal(table.column().values, before)
    again = pipeline.select(table, rule=rule, keep=keep, per_class=per_class)
    np.testing.assert_array_equal(again.reason, selection.reason)


@every_rule
def test_a_selection_says_what_made_it(rule, tmp_path):
    selection = pipeline.select(some_table(0), rule=rule, by="el2n@20", keep=0.5)
    module = registry.load(registry.SELECTORS, rule, "rule")
    assert selection.rule == rule
    assert set(selection.parameters) == {"keep", *module.OPTIONS}
    assert selection.parameters["keep"] == 0.5
    assert selection.column == "el2n@20"


@every_rule
@pytest.mark.parametrize("keep", [0.0, 1.5, -1.0, float("nan"), 1e-6])
def test_a_share_that_keeps_nothing_or_too_much_is_refused(rule, keep):
    with pytest.raises(OptionError, match="keep="):
        pipeline.select(some_table(0), rule=rule, keep=keep)


@every_rule
def test_an_option_that_a_rule_does_not_take_is_refused_by_name(rule):
    with pytest.raises(OptionError, match=rf"rule='{rule}' takes no `no_such`; it takes `"):
        pipeline.select(some_table(0), rule=rule, no_such=1)


@every_rule
def test_a_rule_that_uses_scores_refuses_those_of_planted_labels(rule):
    table = some_table(0)
    probed = replace(
        table, probe_label=np.where(np.arange(30) % 10 == 1, (table.rows.label + 1) % 3, -1)
    )
    if not registry.load(registry.SELECTORS, rule, "rule").USES_SCORES:
        np.testing.assert_array_equal(
            pipeline.select(probed, rule=rule).reason, pipeline.select(table, rule=rule).reason
        )
        return
    with pytest.raises(TableError) as caught:
        pipeline.select(probed, rule=rule, per_class=True)
    assert "scored with 3 probes" in str(caught.value)
    assert "score again without `probes` in another `workdir`" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_unknown_rule_is_refused_with_the_nearest():
    with pytest.raises(OptionError, match=r"unknown rule 'windwo'. Did you mean 'window'"):
        pipeline.select(some_table(0), rule="windwo")
