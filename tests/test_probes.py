"""Scoring with probes: what the networks see, what the table says, and what may come later."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prune_kit.data.dataset import Dataset, from_arrays
from prune_kit.data.noise import draw_probes, planted
from prune_kit.errors import OptionError, TableError
from prune_kit.pipeline import score
from prune_kit.progress import Progress
from prune_kit.protocol.config import TrainConfig
from prune_kit.protocol.execution import Execution
from prune_kit.protocol.setup import Setup
from prune_kit.results.table import ScoreTable
from prune_kit.runs.cache import RunInputs
from tests.conftest import TINY, shapes_data

SHARE = 0.1  # of the 77 rows of `shapes`
MLP = TrainConfig(model="mlp", epochs=1, batch_size=16)


def trained_in(
    data: Dataset, workdir: Path, methods: str, **options: Any
) -> tuple[ScoreTable, int]:
    """The table, and how many networks had to be trained for it."""
    heard: list[Progress] = []
    options = {"config": TINY, "jobs": 1, "epoch": 1, "runs": 1, **options}
    table = score(data, methods, workdir=workdir, progress=heard.append, **options)
    return table, sum(
        step.networks for step in heard if step.done == step.total and "network" in step.what
    )


def inputs_in(workdir: Path) -> list[dict[str, Any]]:
    return [
        json.loads(path.read_text()) for path in sorted((workdir / "runs").glob("*/inputs.json"))
    ]


@pytest.fixture(scope="module")
def workdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("work")


@pytest.fixture(scope="module")
def table(shapes: Dataset, workdir: Path) -> ScoreTable:
    return score(
        shapes, "el2n", epoch=1, runs=2, config=TINY, jobs=1, workdir=workdir, probes=SHARE
    )


def test_the_table_says_which_rows_are_probes_and_keeps_the_given_labels(
    shapes: Dataset, table: ScoreTable
) -> None:
    assert len(table.probes) == round(SHARE * 77)
    np.testing.assert_array_equal(table.probe_label, draw_probes(shapes.rows, SHARE, 0))
    np.testing.assert_array_equal(table.rows.label, shapes.labels)
    assert table.rows.fingerprint == shapes.fingerprint
    assert table.columns["el2n@1"].parameters["probes"] == SHARE


def test_every_network_is_trained_on_the_planted_labels_and_tested_on_the_same_examples(
    shapes: Dataset, table: ScoreTable, workdir: Path
) -> None:
    assert table.probe_label is not None
    fingerprint = planted(shapes, table.probe_label).fingerprint
    found = inputs_in(workdir)
    assert len(found) == 2
    assert {inputs["fingerprint"] for inputs in found} == {fingerprint} != {shapes.fingerprint}
    assert {inputs["test_fingerprint"] for inputs in found} == {shapes.test.fingerprint}


def test_a_probe_scores_as_the_same_row_under_that_label(
    shapes: Dataset, table: ScoreTable, tmp_path: Path
) -> None:
    assert table.probe_label is not None
    relabelled = planted(shapes, table.probe_label)
    expected = score(relabelled, "el2n", epoch=1, runs=2, config=TINY, jobs=1, workdir=tmp_path)
    np.testing.assert_array_equal(table.columns["el2n@1"].values, expected.columns["el2n@1"].values)


def test_networks_with_and_without_probes_stand_side_by_side_in_a_workdir(
    shapes: Dataset, tmp_path: Path
) -> None:
    _, without = trained_in(shapes, tmp_path, "el2n")
    _, with_probes = trained_in(shapes, tmp_path, "el2n", probes=SHARE)
    assert (without, with_probes) == (1, 1)
    one, other = inputs_in(tmp_path)
    assert {name for name in one if one[name] != other[name]} == {"fingerprint"}


def test_without_probes_no_column_speaks_of_them(shapes: Dataset, tmp_path: Path) -> None:
    found, _ = trained_in(shapes, tmp_path, "el2n")
    assert found.probe_label is None
    assert "probes" not in found.columns["el2n@1"].parameters


def test_more_methods_later_use_the_same_probes_and_train_nothing(
    shapes: Dataset, table: ScoreTable, workdir: Path, tmp_path: Path
) -> None:
    table.write(tmp_path / "scores.h5")
    earlier = ScoreTable.read(tmp_path / "scores.h5")
    for probes in (None, SHARE):
        more, trained = trained_in(
            shapes,
            workdir,
            "aum,forgetting,grand,consistency",
            table=earlier,
            config=None,
            runs=None,
            probes=probes,
        )
        assert trained == 0
        np.testing.assert_array_equal(more.probe_label, table.probe_label)
        named = {name: column.parameters.get("probes") for name, column in more.columns.items()}
        assert named == {
            "el2n@1": SHARE,
            "aum@1": SHARE,
            "forgetting@1": SHARE,
            "grand@1": SHARE,
            "consistency@1": SHARE,
            "input_norm": None,
        }


def test_more_runs_later_use_the_same_probes(
    shapes: Dataset, table: ScoreTable, workdir: Path
) -> None:
    more, trained = trained_in(shapes, workdir, "el2n", table=table, config=None, runs=3)
    assert trained == 1
    np.testing.assert_array_equal(
        more.columns["el2n@1"].extras["per_run"][:2], table.columns["el2n@1"].extras["per_run"]
    )
    assert len({inputs["fingerprint"] for inputs in inputs_in(workdir)}) == 1


def test_the_probes_of_the_table_stand_even_if_they_would_be_drawn_otherwise_now(
    shapes: Dataset, table: ScoreTable, workdir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "prune_kit.scoring.plan.draw_probes", None
    )  # as under a numpy that draws others
    more, trained = trained_in(shapes, workdir, "aum", table=table, config=None, runs=None)
    assert trained == 0
    assert more.probe_label is table.probe_label


def test_what_needs_no_network_is_as_it_was_without_probes(shapes: Dataset, tmp_path: Path) -> None:
    mixed, _ = trained_in(
        shapes, tmp_path, "el2n,input_norm,random,density_same", probes=SHARE, space="pixels"
    )
    alone, _ = trained_in(shapes, tmp_path, "input_norm,random,density_same", space="pixels")
    assert mixed.probe_label is not None
    for name in ("input_norm", "random", "density_same"):
        np.testing.assert_array_equal(mixed.columns[name].values, alone.columns[name].values)
        assert mixed.columns[name].parameters == alone.columns[name].parameters


def test_a_table_without_networks_may_get_probes_later(shapes: Dataset, tmp_path: Path) -> None:
    first, _ = trained_in(shapes, tmp_path, "random")
    later, trained = trained_in(shapes, tmp_path, "el2n", table=first, probes=SHARE)
    assert trained == 1
    assert len(later.probes) == round(SHARE * 77)
    assert later.columns["random"] is first.columns["random"]


def test_the_seed_of_the_networks_draws_the_probes(shapes: Dataset, tmp_path: Path) -> None:
    found, _ = trained_in(shapes, tmp_path, "el2n", probes=SHARE, seed=5)
    np.testing.assert_array_equal(found.probe_label, draw_probes(shapes.rows, SHARE, 5))


@pytest.mark.parametrize("other", [0.2, 0.0])
def test_another_share_on_the_same_table_is_refused(
    shapes: Dataset, table: ScoreTable, workdir: Path, other: float
) -> None:
    with pytest.raises(
        TableError, match=rf"made otherwise: probes {other:g} \(the table has 0.1\).*table=None"
    ):
        trained_in(shapes, workdir, "aum", table=table, config=None, runs=None, probes=other)


def test_probes_on_a_table_whose_networks_had_none_are_refused(
    shapes: Dataset, tmp_path: Path
) -> None:
    first, _ = trained_in(shapes, tmp_path, "el2n")
    with pytest.raises(
        TableError, match=r"made otherwise: probes 0.1 \(the table has none\).*table=None"
    ):
        trained_in(shapes, tmp_path, "aum", table=first, config=None, probes=SHARE)


def test_probes_for_methods_that_need_no_network_are_refused(
    shapes: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(
        OptionError, match="`probes` is not for random and input_norm: without a network"
    ):
        trained_in(shapes, tmp_path, "random,input_norm", epoch=None, runs=None, probes=SHARE)


def test_a_share_out_of_range_is_refused_before_anything_is_trained(
    shapes: Dataset, tmp_path: Path
) -> None:
    for share, told in (
        (0.5, "out of range"),
        (0.001, "is less than one row; the least is probes=0.013"),
    ):
        with pytest.raises(OptionError, match=told):
            trained_in(shapes, tmp_path, "el2n", probes=share)
    assert not (tmp_path / "runs").exists()


def test_held_out_rows_are_tested_by_their_true_labels_also_under_other_labels(
    tmp_path: Path,
) -> None:
    data = shapes_data()
    alone = from_arrays(data.images, data.labels, name="alone", spec="alone")
    noisy = alone.relabelled((alone.labels + (np.arange(77) % 10 == 0)) % 3, "noisy.npy")
    for given in (alone, noisy):
        found, _ = trained_in(given, tmp_path, "consistency", probes=SHARE)
        assert (found.rows.role[found.probes] == 0).all()
        assert found.test_rows is not None
        np.testing.assert_array_equal(found.test_rows.label, alone.labels[alone.rows.role == 1])
        assert found.rows.fingerprint == given.fingerprint
    assert len({inputs["fingerprint"] for inputs in inputs_in(tmp_path)}) == 2
    assert {inputs["test_fingerprint"] for inputs in inputs_in(tmp_path)} == {
        alone.test.fingerprint
    }


def test_folds_of_holdout_validation_train_and_judge_by_the_planted_labels(
    shapes: Dataset, tmp_path: Path
) -> None:
    options: dict[str, Any] = {
        "config": MLP,
        "epoch": None,
        "runs": None,
        "precision": "fp32",
        "ratios": (50,),
    }
    found, trained = trained_in(shapes, tmp_path, "cscore", probes=SHARE, folds=4, **options)
    assert trained == 4
    assert found.probe_label is not None
    assert found.columns["cscore"].parameters["probes"] == SHARE
    relabelled, trained = trained_in(
        planted(shapes, found.probe_label), tmp_path, "cscore", folds=4, **options
    )
    assert trained == 0  # the same networks
    np.testing.assert_array_equal(
        found.columns["cscore"].values, relabelled.columns["cscore"].values
    )
    more, trained = trained_in(shapes, tmp_path, "cscore", table=found, folds=6, **options)
    assert trained == 2
    np.testing.assert_array_equal(more.probe_label, found.probe_label)


def test_a_settled_precision_is_taken_but_is_no_wish_for_gradients_in_it() -> None:
    earlier = Setup(protocol=TINY, precision="bf16")
    settled = Execution(device="cpu").resolve(earlier=earlier)
    assert (settled.precision, settled.gradient_precision) == ("bf16", "fp32")
    asked = Execution(device="cpu", precision="fp32").resolve(earlier=earlier)
    assert (asked.precision, asked.gradient_precision) == ("fp32", "fp32")


def test_the_key_of_a_run_knows_the_planted_labels(shapes: Dataset) -> None:
    execution = Execution(device="cpu", jobs=1).resolve()
    under = planted(shapes, draw_probes(shapes.rows, SHARE, 0))
    assert RunInputs(shapes, TINY, 0, execution).key != RunInputs(under, TINY, 0, execution).key
