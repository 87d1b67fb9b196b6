"""The library's errors speak Python, and the command line's speak flags."""

import pytest
import typer

from prune_kit_cli.main import app
from prune_kit_cli.wording import in_flags, option_flags

FLAGS = {
    "by": "--by",
    "data": "--data",
    "fresh": "--fresh",
    "keep": "--keep",
    "keep_easy": "--keep-easy",
    "kind": "--kind",
    "matrix": "--matrix",
    "method": "--method",
    "model": "--model",
    "per_class": "--per-class",
    "ratios": "--ratios",
    "workdir": "--workdir",
}


@pytest.mark.parametrize(
    ("python", "flags"),
    [
        ("keep=2 is out of range", "--keep 2 is out of range"),
        ("keep=nan is out of range", "--keep nan is out of range"),
        ("keep=-0.5 is out of range", "--keep -0.5 is out of range"),
        ("keep=0.5, keep_easy=1e-05 and more", "--keep 0.5, --keep-easy 1e-05 and more"),
        ("score again (with keep=0.5).", "score again (with --keep 0.5)."),
        ("the least is keep=1,000; give more", "the least is --keep 1,000; give more"),
        ("leave out per_class=True", "leave out --per-class"),
        ("give fresh=True, or another `workdir`", "give --fresh, or another --workdir"),
        ("per_class=False against per_class=None", "no --per-class against no --per-class"),
        ("score again with method='el2n'", "score again with --method el2n"),
        ("by='my column' is unknown", "--by 'my column' is unknown"),
        ('by="it\'s" is unknown', "--by 'it'\"'\"'s' is unknown"),
        ("ratios=[75, 90] repeat", "--ratios 75,90 repeat"),
        ("method=['el2n', 'grand']", "--method el2n,grand"),
        ("kind='matrix' requires `matrix`", "--kind matrix requires --matrix"),
        ("give data='mnist:PATH'", "give --data mnist:PATH"),
        ("lower config.learning_rate=0.025", "lower --train learning_rate=0.025"),
        ("give config.milestones=[2, 4]", "give --train milestones=2,4"),
        ("config.model='mlp' differs", "--model mlp differs"),
        ("`config.epochs` counts epochs", "--train epochs counts epochs"),
        ("table=None starts it anew", "--fresh starts it anew"),
        (
            "Run: `score(data, method='el2n', ratios=[75, 90], keep=0.05)`, in time",
            "Run: prune-kit score --method el2n --ratios 75,90 --keep 0.05, in time",
        ),
        ("see `select()`", "see prune-kit select"),
    ],
)
def test_an_option_of_python_becomes_a_flag(python: str, flags: str) -> None:
    assert in_flags(python, FLAGS) == flags


@pytest.mark.parametrize(
    "text",
    [
        "goal=2 is not an option of any command",
        "`goal` is not an option of any command",
        "/runs/keep=2/scores.h5 cannot be read",
        "keep=2/scores.h5 cannot be read",
        "runs-keep=2 cannot be read",
        "--keep=2 is a flag already",
        "--train model=mlp is a flag already",
        "write it with numpy.savez(path, x_train=..., ...)",
        "the column el2n@20 has 3 runs; keep 0.5 of them",
        "the class `x(1))` of keep",
        "",
    ],
)
def test_other_text_stays_as_it_is(text: str) -> None:
    assert in_flags(text, FLAGS) == text


def test_every_option_has_one_flag_in_all_commands() -> None:
    flags = option_flags(app)
    assert flags["per_class"] == "--per-class" and flags["as_json"] == "--json"
    assert "file" not in flags  # an argument
    for command in typer.main.get_command(app).commands.values():  # type: ignore[attr-defined]
        options = [option for option in command.params if option.opts[0].startswith("--")]
        assert [flags[option.name] for option in options] == [o.opts[0] for o in options]
