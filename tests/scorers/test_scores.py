"""Each score against a slow, obvious oracle in float64, on the networks that the runs really
kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional

from prune_kit import registry
from prune_kit.data.dataset import Dataset
from prune_kit.pipeline import score
from prune_kit.results.table import ScoreTable
from prune_kit.runs.cache import RecordedRun, Request, RunInputs
from prune_kit.runs.recorder import complete
from prune_kit.scorers import Runs, Scorer
from prune_kit.scoring.columns import WITHOUT_EPOCH, WITHOUT_RUNS, needs, options_for
from prune_kit.training.images import normalisation
from tests.conftest import ONE_THREAD, TINY

EPOCH = 2
METHODS = registry.module_names(registry.SCORERS)


@pytest.fixture(scope="module")
def runs(shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    folder = tmp_path_factory.mktemp("cache")
    recorded = []
    for seed in (0, 1):
        inputs = RunInputs(shapes, TINY, seed, ONE_THREAD)
        request = Request(
            EPOCH, minibatches=True, sweeps=frozenset({1, EPOCH}), weights=frozenset({1, EPOCH})
        )
        complete(inputs, request, folder, lambda *_: None)
        recorded.append(RecordedRun(inputs, folder / inputs.key))
    return Runs(tuple(recorded), 0, ONE_THREAD)


@pytest.fixture(scope="module")
def table(shapes: Dataset, tmp_path_factory: pytest.TempPathFactory) -> ScoreTable:
    folder = tmp_path_factory.mktemp("work")
    few = {"ratios": (50, 80), "folds": 6}  # enough votes for every row
    return score(shapes, METHODS, epoch=EPOCH, runs=2, config=TINY, jobs=2, workdir=folder, **few)


def computed(method: str, data: Dataset, runs: Runs, epoch: int | None = EPOCH) -> np.ndarray:
    module: Scorer = registry.load(registry.SCORERS, method, "method")
    scores = module.score(data, runs, epoch=epoch, **registry.defaults(registry.SCORERS, method))
    return scores


def inputs_of(data: Dataset) -> torch.Tensor:
    mean, deviation = normalisation(data)
    return torch.from_numpy(((data.images - mean) / deviation).transpose(0, 3, 1, 2))


def networks(runs: Runs) -> list[torch.nn.Module]:
    return [run.model(EPOCH).double().eval() for run in runs.recorded]


def test_el2n_equals_its_definition_one_example_at_a_time(shapes: Dataset, runs: Runs) -> None:
    inputs, found = inputs_of(shapes), computed("el2n", shapes, runs)
    for r, network in enumerate(networks(runs)):
        for i in range(len(shapes)):
            with torch.no_grad():
                p = network(inputs[i : i + 1])[0].softmax(0).numpy()
            expected = np.sqrt(sum((p[c] - (c == shapes.labels[i])) ** 2 for c in range(3)))
            assert found[r, i] == pytest.approx(expected, rel=1e-4, abs=1e-5)


def test_grand_equals_one_backward_pass_per_example(shapes: Dataset, runs: Runs) -> None:
    inputs, found = inputs_of(shapes), computed("grand", shapes, runs)
    for r, network in enumerate(networks(runs)):
        for i in range(len(shapes)):
            network.zero_grad()
            loss = functional.cross_entropy(
                network(inputs[i : i + 1]), torch.tensor(shapes.labels[i : i + 1])
            )
            loss.backward()  # type: ignore[no-untyped-call]
            gradients = [p.grad for p in network.parameters() if p.grad is not None]
            assert (
                len(gradients) == 11
            )  # three convolutions, three batch norms with two each, a linear layer with two
            expected = np.sqrt(sum(float((g**2).sum()) for g in gradients))
            assert found[r, i] == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_cumulative_scores_are_means_over_the_epochs(shapes: Dataset, runs: Runs) -> None:
    signals = {
        "cumulative_pl": "p_label",
        "cumulative_pmax": "p_max",
        "cumulative_entropy": "negative_entropy",
        "aum": "margin",
    }
    for method, signal in signals.items():
        found = computed(method, shapes, runs)
        for r, run in enumerate(runs.recorded):
            history = run.minibatches(signal, EPOCH).astype(np.float64)
            expected = [sum(history[:, i]) / EPOCH for i in range(len(shapes))]
            np.testing.assert_allclose(found[r], expected, rtol=1e-6)
    found = computed("cumulative_accuracy", shapes, runs)
    for r, run in enumerate(runs.recorded):
        history = run.minibatches("correct", EPOCH)
        assert found[r].tolist() == [sum(history[:, i]) / EPOCH for i in range(len(shapes))]


def test_observing_by_sweeps_reads_the_clean_passes(shapes: Dataset, runs: Runs) -> None:
    found = computed("cumulative_pl", shapes, replace(runs, observe="sweep"))
    for r, run in enumerate(runs.recorded):
        expected = (run.sweep("p_label", 1) + run.sweep("p_label", 2).astype(np.float64)) / 2
        np.testing.assert_allclose(found[r], expected, rtol=1e-6)
    assert not np.allclose(found, computed("cumulative_pl", shapes, runs))


def test_input_norm_is_the_norm_of_what_networks_receive(shapes: Dataset, runs: Runs) -> None:
    expected = inputs_of(shapes).flatten(1).norm(dim=1)
    np.testing.assert_allclose(computed("input_norm", shapes, runs, None), expected, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_obeys_the_contract(method: str, shapes: Dataset, table: ScoreTable) -> None:
    module = registry.load(registry.SCORERS, method, "method")
    assert module.HIGHER_MEANS in ("harder", "easier")
    needed = needs(method, options_for([method], {})[method])
    assert needed in (
        "nothing",
        "sweep",
        "checkpoint",
        "minibatches",
        "every sweep",
        "threshold",
        "folds",
    )
    name = method if needed in WITHOUT_EPOCH else f"{method}@{EPOCH}"
    column = table.columns[name]
    assert column.values.shape == (len(shapes),)
    assert column.values.dtype == np.float32
    assert np.isfinite(column.values).all()
    assert column.harder == ("higher" if module.HIGHER_MEANS == "harder" else "lower")
    assert column.seeds == (() if needed in WITHOUT_RUNS else (0, 1))
    if "per_run" in column.extras:
        over_runs = np.sum if getattr(module, "COUNTS_RUNS", False) else np.mean
        np.testing.assert_allclose(
            over_runs(column.extras["per_run"], axis=0), column.values, rtol=1e-5
        )


def test_the_averaged_probabilities_stand_beside_cumulative_pl(
    shapes: Dataset, table: ScoreTable
) -> None:
    column = table.columns[f"cumulative_pl@{EPOCH}"]
    probability = column.extras["probability"]
    assert (probability.shape, probability.dtype) == ((len(shapes), 3), np.float16)
    at_label = probability[np.arange(len(shapes)), shapes.labels]
    np.testing.assert_allclose(at_label, column.values, rtol=2e-3, atol=1e-3)


def test_no_score_depends_on_the_order_of_the_rows_where_networks_do_not(
    shapes: Dataset, runs: Runs
) -> None:
    order = np.random.default_rng(0).permutation(len(shapes))
    rows = replace(
        shapes.rows,
        **{name: getattr(shapes.rows, name)[order] for name in ("id", "digest", "label", "role")},
    )
    shuffled = replace(shapes, images=shapes.images[order], rows=rows)
    found = computed("input_norm", shuffled, runs, None)
    np.testing.assert_array_equal(found, computed("input_norm", shapes, runs, None)[order])
