import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit.protocol.config import TrainConfig
from prune_kit.training.schedule import batch_bounds, learning_rate, steps_per_epoch


def rates(schedule: str, total: int, epoch_steps: int = 10, **options: object) -> list[float]:
    config = TrainConfig(model="mlp", epochs=1, learning_rate=0.4, schedule=schedule).changed(
        options
    )
    return [learning_rate(config, step, total, epoch_steps) for step in range(total)]


@given(rows=st.integers(1, 300), batch=st.integers(1, 64))
def test_batches_cover_every_row_once_and_none_but_the_whole_has_one_row(
    rows: int, batch: int
) -> None:
    bounds = batch_bounds(rows, batch, drop_last=False)
    assert [row for start, stop in bounds for row in range(start, stop)] == list(range(rows))
    assert len(bounds) == steps_per_epoch(rows, batch, drop_last=False)
    if rows > 1 and batch > 1:
        assert min(stop - start for start, stop in bounds) > 1


@given(rows=st.integers(1, 300), batch=st.integers(2, 64))
def test_drop_last_keeps_full_batches_only(rows: int, batch: int) -> None:
    bounds = batch_bounds(rows, batch, drop_last=True)
    if rows >= batch:
        assert bounds == [(i * batch, (i + 1) * batch) for i in range(rows // batch)]
    else:
        assert bounds == [(0, rows)]


def test_data_diet_takes_78000_steps() -> None:
    assert 200 * steps_per_epoch(50_000, 128, drop_last=True) == 78_000


def test_step_schedule_decays_after_each_milestone() -> None:
    found = rates("step", 40, milestones=[1, 3], decay=0.2)
    assert found[:10] == [0.4] * 10
    assert found[10:30] == pytest.approx([0.08] * 20)
    assert found[30:] == pytest.approx([0.016] * 10)


def test_triangular_schedule_rises_for_its_warmup_and_falls_to_near_zero() -> None:
    found = rates("triangular", 100, warmup=0.15)
    assert found.index(max(found)) in (14, 15)
    assert max(found) == pytest.approx(0.4)
    assert all(a < b for a, b in pairwise(found[:15]))
    assert all(a > b for a, b in pairwise(found[15:]))
    assert 0 < found[-1] < 0.01
    assert 0 < found[0] < 0.05


def test_cosine_schedule_is_half_way_in_the_middle() -> None:
    found = rates("cosine", 100)
    assert found[0] == 0.4
    assert found[50] == pytest.approx(0.2)
    assert found[-1] == pytest.approx(0.2 * (1 + math.cos(math.pi * 0.99)))


def test_constant_schedule_is_constant() -> None:
    assert set(rates("constant", 20)) == {0.4}


def test_a_short_protocol_names_only_the_milestones_that_it_reaches() -> None:
    config = TrainConfig(
        model="mlp", epochs=100, schedule="step", milestones=(60, 120), decay=0.2, learning_rate=0.1
    )
    assert " learning rate 0.1, times 0.2 after epochs 60," in config.describe()
    assert "constant learning rate 0.1," in config.changed({"epochs": 60}).describe()


def test_a_compiled_network_is_another_protocol_and_others_are_what_they_were() -> None:
    plain = TrainConfig(model="mlp", epochs=2)
    compiled = plain.changed({"compiled": "true"})
    assert "compiled" not in plain.values()
    assert compiled.values() == {**plain.values(), "compiled": True}
    for config in (plain, compiled):
        assert TrainConfig.of(config.values()) == config
    assert compiled.describe() == f"{plain.describe()}, compiled"
