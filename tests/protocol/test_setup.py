"""Setup: what files of every version say of their networks, how two differ, and how one is
typed."""

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit import retrain, score, select
from prune_kit.data.dataset import Dataset
from prune_kit.errors import FileError, PruneKitError, TableError
from prune_kit.protocol import execution
from prune_kit.protocol.config import SCHEDULES, TrainConfig
from prune_kit.protocol.setup import OBSERVATIONS, PROTOCOL_FIELDS, Setup
from prune_kit.results.removal import Removal
from prune_kit.results.selection import Selection
from prune_kit.results.table import ScoreTable

MLP = TrainConfig(model="mlp", epochs=2, batch_size=32, learning_rate=0.05)
OLDER = {  # the fields of an outcome, and the parameters of a column, as version 0.1.0 wrote them
    "outcome": {**MLP.values(), "budget": "steps", "precision": "fp32", "threads": 2},
    "column": {"config": MLP.values(), "seed": 3, "observe": "sweep", "precision": "fp32"},
}

# made in the tests: beartype looks at a random entry of a tuple, which no strategy may do
protocols = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["mlp", "convnet", "timm:resnet 18"]),
        "epochs": st.integers(1, 300),
        "batch_size": st.integers(1, 512),
        "learning_rate": st.floats(1e-6, 10),
        "momentum": st.floats(0.01, 1),
        "nesterov": st.booleans(),
        "schedule": st.sampled_from(SCHEDULES),
        "milestones": st.lists(st.integers(1, 300), max_size=3).map(tuple),
        "flip": st.booleans(),
        "compiled": st.booleans(),
    }
)
fields = st.fixed_dictionaries(
    {
        "protocol": protocols,
        "seed": st.integers(0, 10**6),
        "observe": st.sampled_from(OBSERVATIONS),
        "probes": st.none() | st.floats(0.001, 0.5),
        "precision": st.sampled_from(["fp32", "bf16"]),
        "threads": st.none() | st.integers(1, 64),
        "device": st.sampled_from(["cpu", "cuda"]),
    }
)


def made(values: dict[str, Any]) -> Setup:
    return Setup(**{**values, "protocol": TrainConfig(**values["protocol"])})


@given(values=fields)
def test_a_setup_comes_back_from_the_json_of_a_file(values: dict[str, Any]) -> None:
    setup = made(values)
    assert Setup.of(json.loads(json.dumps(setup.values()))) == setup


@given(first=fields, second=fields)
def test_two_setups_differ_in_the_fields_that_do(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    one, other = made(first), made(second)
    differences = one.differences(other)
    assert differences == {
        name: (mine, theirs) for name, (theirs, mine) in other.differences(one).items()
    }
    for name in PROTOCOL_FIELDS:
        same = getattr(one.protocol, name) == getattr(other.protocol, name)
        assert same == (name not in differences)
    assert one.differences(one) == {}


@given(first=fields, second=fields)
def test_the_words_of_a_command_line_turn_the_usual_setup_into_this_one(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    setup, usual = made(first), made(second)
    words = shlex.split(setup.words(usual))
    options = dict(zip(words[::2], words[1::2], strict=True))
    changes = [
        value for name, value in zip(words[::2], words[1::2], strict=True) if name == "--train"
    ]
    protocol = usual.protocol.changed(dict(change.split("=", 1) for change in changes))
    protocol = protocol.changed({"model": options.get("--model", usual.protocol.model)})
    assert protocol == setup.protocol
    for name in ("observe", "precision", "device"):
        assert options.get(f"--{name}", getattr(usual, name)) == getattr(setup, name)
    if setup.threads is not None:
        assert int(options.get("--threads", usual.threads or 0)) == setup.threads
    if setup.probes is not None:
        assert float(options.get("--probes", usual.probes or 0)) == setup.probes


def test_a_setup_has_no_words_for_itself() -> None:
    setup = Setup(protocol=MLP, precision="fp32", threads=1, device="cpu")
    assert setup.words(setup) == ""
    assert replace(setup, protocol=replace(MLP, compiled=True)).words(setup) == (
        " --train compiled=true"
    )


def test_what_older_files_do_not_say_is_unknown_and_no_difference() -> None:
    outcome, column = Setup.of(OLDER["outcome"]), Setup.of(OLDER["column"])
    assert outcome is not None and column is not None
    assert (outcome.protocol, outcome.precision, outcome.threads) == (MLP, "fp32", 2)
    assert (outcome.device, column.device) == ("cpu", None)
    assert (column.seed, column.observe, column.threads) == (3, "sweep", None)
    assert column.differences(replace(column, threads=4, device="cuda")) == {}
    on_gpu = Setup.of({**OLDER["column"], "threads": None})
    assert on_gpu is not None and on_gpu.device == "cuda"


@pytest.mark.parametrize(
    "values", [{}, {"seed": 1}, {"config": None}, {"config": {"model": "mlp"}}]
)
def test_what_comes_from_no_network_has_no_setup(values: dict[str, Any]) -> None:
    assert Setup.of(values) is None


@pytest.mark.parametrize(
    "values",
    [
        {"config": {"model": "mlp", "epochs": "many"}},
        {"config": MLP.values(), "seed": [1]},
        {"config": MLP.values(), "threads": "two"},
        {"config": MLP.values() | {"schedule": "square"}},
    ],
)
def test_a_setup_that_cannot_be_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(FileError, match="what cannot be"):
        Setup.of(values)


def test_every_kind_of_file_keeps_its_setup(shapes: Dataset, tmp_path: Path) -> None:
    table = score(shapes, "cumulative_pl", runs=2, epoch=1, config=MLP, threads=1, workdir=tmp_path)
    expected = Setup(
        protocol=MLP, precision=str(table.trained_with["precision"]), threads=1, device="cpu"
    )
    table.write(tmp_path / "scores.h5")
    assert ScoreTable.read(tmp_path / "scores.h5").setup == expected
    selection = select(table, keep=0.5)
    selection.write(tmp_path / "selection.h5")
    assert Selection.read(tmp_path / "selection.h5").setup == expected
    from prune_kit import clean

    removal = clean(table, remove=0.1)
    removal.write(tmp_path / "removal.h5")
    assert Removal.read(tmp_path / "removal.h5").setup == expected
    outcomes = retrain(shapes, selection, runs=1, baseline=[], workdir=tmp_path)
    assert outcomes.latest is not None
    assert outcomes.latest.setup == replace(expected, seed=1000)


@pytest.mark.parametrize("begun", ["cpu", "cuda"])
def test_a_table_is_not_extended_on_another_kind_of_device(
    begun: str, shapes: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = score(shapes, "el2n", runs=1, epoch=1, config=MLP, workdir=tmp_path)
    now = "cuda" if begun == "cpu" else "cpu"
    if begun == "cuda":
        column = table.columns["el2n@1"]
        on_gpu = column.parameters | {"device": "cuda", "threads": None}
        table = table.with_columns([replace(column, parameters=on_gpu)])
    else:
        monkeypatch.setattr(execution, "_resolve_device", lambda _: "cuda:0")
    for wish in ({"methods": "aum"}, {"methods": "el2n", "runs": 2}):
        with pytest.raises(TableError) as caught:
            score(shapes, epoch=1, table=table, workdir=tmp_path, **wish)
        assert f"device {now} (the table has {begun})" in str(caught.value)
        assert f"device={begun!r}" in str(caught.value) and "table=None" in str(caught.value)


@given(
    values=st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=4),
        lambda inner: st.lists(inner, max_size=2),
    )
)
def test_any_json_in_a_file_is_read_or_refused(values: Any) -> None:
    for name in ("config", "seed", "threads", "probes", "precision"):
        try:
            Setup.of({"config": MLP.values(), name: values})
        except PruneKitError:
            continue
