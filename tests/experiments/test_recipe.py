import tomllib
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prune_kit.errors import OptionError, RecipeError
from prune_kit.experiments import recipe
from prune_kit.experiments.expectation import Expectation
from prune_kit.experiments.recipe import load_recipe, recipe_names, recipes_folder

TEXT = """
title = "A title"
paper = "A paper"

[data]
source = "cifar10"

[train]
model = "resnet18"
epochs = 200
milestones = [60, 120, 160]
crop_padding = 4

[score]
methods = ["el2n", "grand"]
epochs = [0, 20, 200]

[select]
rule = "window"
by = ["el2n@20", "grand@200"]
keep = [0.5, 0.25]
offset = 0.02

[retrain]
runs = 4
budget = "steps"

[seeds]
score = 5

[[expect]]
claim = "It holds"
where = "Figure 1"
check = "el2n@20 keep 0.5 - full > -1.0"
"""


@pytest.fixture
def write(tmp_path):
    """Writes the recipe, with one text replaced by another, and gives its path."""

    def write(old="", new=""):
        assert old in TEXT
        path = tmp_path / "mine.toml"
        path.write_text(TEXT.replace(old, new, 1) if old else TEXT, encoding="utf-8")
        return path

    return write


def refusal(path):
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# what comes with the project


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_that_comes_with_us_is_read_by_name_and_by_file(name):
    by_name, by_file = load_recipe(name), load_recipe(recipes_folder() / f"{name}.toml")
    assert by_name == by_file
    assert by_name.name == name
    assert by_name.title
    assert by_name.paper
    content = tomllib.loads((recipes_folder() / f"{name}.toml").read_text("utf-8"))
    assert by_name.train.epochs == content["train"]["epochs"]
    small = recipe.smoke(by_name)
    columns = {f"{m}@{e}" for m in small.score["methods"] for e in small.score["epochs"]} | {
        *small.score["methods"]
    }
    for options in recipe._grid(small.select).values():
        assert options["by"] in columns


def test_the_recipes_of_the_issue_are_there():
    assert {"digits_demo", "mnist_mlp", "data_diet_cifar10"} <= set(recipe_names())


# reading


def test_a_recipe_says_everything_and_what_it_leaves_out_has_a_default(write):
    read = load_recipe(write())
    assert (read.name, read.title, read.paper, read.source) == (
        "mine",
        "A title",
        "A paper",
        "cifar10",
    )
    assert (read.train.model, read.train.milestones, read.train.momentum) == (
        "resnet18",
        (60, 120, 160),
        0.9,
    )
    assert read.score == {"runs": 10, "methods": ["el2n", "grand"], "epochs": [0, 20, 200]}
    assert read.seeds == {"score": 5, "retrain": 1000}
    assert read.expect == (Expectation("It holds", "Figure 1", "el2n@20 keep 0.5 - full > -1.0"),)
    assert load_recipe(str(write())) == read


@pytest.mark.parametrize(("section", "anchor"), [
    ("the top level", 'title = "A title"'), ("[data]", 'source = "cifar10"'),
    ("[score]", "epochs = [0, 20, 200]"), ("[select]", "offset = 0.02"),
    ("[retrain]", "runs = 4"), ("[seeds]", "score = 5"),
    ("[expect]", 'claim = "It holds"'),
])  # fmt: skip
def test_an_unknown_key_is_refused_by_its_name_and_section(write, section, anchor):
    message = refusal(write(anchor, f"{anchor}\noffst = 1"))
    assert f"mine.toml: unknown key 'offst' in {section}; there are: " in message


def test_an_unknown_key_of_the_training_is_refused_with_the_nearest(write):
    message = refusal(write("epochs = 200\n", "epochs = 200\nbatchsize = 1\n"))
    assert "mine.toml: unknown training option 'batchsize'. Did you mean 'batch_size'?" in message


@pytest.mark.parametrize("section", ["data", "train", "score", "select", "retrain", "seeds"])
def test_a_missing_section_is_named(write, section):
    start = TEXT.index(f"[{section}]")
    message = refusal(write(TEXT[start : TEXT.index("\n\n", start)]))
    assert message.endswith(f"mine.toml has no section [{section}]")


def test_a_value_in_the_place_of_a_section_is_refused(write):
    start, end = TEXT.index("[seeds]"), TEXT.index("[[expect]]")
    path = write()
    path.write_text("seeds = 3\n" + TEXT[:start] + TEXT[end:])
    assert "has no section [seeds]" in refusal(path)


@pytest.mark.parametrize(("line", "key", "section"), [
    ('title = "A title"', "title", "the top level"),
    ('paper = "A paper"', "paper", "the top level"),
    ('source = "cifar10"', "source", "[data]"),
    ('methods = ["el2n", "grand"]', "methods", "[score]"),
    ("epochs = [0, 20, 200]", "epochs", "[score]"), ('claim = "It holds"', "claim", "[expect]"),
    ('where = "Figure 1"', "where", "[expect]"),
    ('check = "el2n@20 keep 0.5 - full > -1.0"', "check", "[expect]"),
])  # fmt: skip
def test_a_missing_key_is_named(write, line, key, section):
    assert refusal(write(line)).endswith(f"mine.toml lacks the key '{key}' in {section}")


def test_a_training_without_a_model_is_refused(write):
    assert refusal(write('model = "resnet18"')).endswith(
        "mine.toml: the training protocol lacks model"
    )


@pytest.mark.parametrize("check", [
    "", "it holds", "full", "full = 3", "full > much", "full > 1.2.3", "full > .",
    "full >", "> 3", "full > 1 and more",
])  # fmt: skip
def test_a_check_that_is_no_comparison_is_refused(write, check):
    message = refusal(write("el2n@20 keep 0.5 - full > -1.0", check))
    assert f"check {check!r} is no comparison such as 'selection - random > 0'" in message


@pytest.mark.parametrize(
    "check", ["el2n@20 > 90", "el2n@20 keep 0.5 - ful > 0", "nobody - random > 1"]
)
def test_a_check_of_what_is_not_trained_is_refused_before_anything_is_trained(write, check):
    assert f"unknown outcome in the check {check!r}" in refusal(
        write("el2n@20 keep 0.5 - full > -1.0", check)
    )


def test_probes_are_for_a_recipe_that_only_scores(write):
    anchor = "epochs = [0, 20, 200]"
    path = write(anchor, f"{anchor}\nprobes = 0.02")
    assert "mine.toml: [score] probes are for `clean`" in refusal(path)
    text = path.read_text()
    path.write_text(text[: text.index("[select]")] + "[seeds]\nscore = 5\n")
    found = load_recipe(path)
    assert (found.score["probes"], found.select) == (0.02, {})
    assert recipe.smoke(found).score["probes"] == 0.02


def test_expectations_are_blocks(write):
    assert "each under [[expect]]" in refusal(write("[[expect]]", "[expect]"))


def test_an_unknown_recipe_is_refused_with_the_nearest():
    message = refusal("digit_demo")
    assert message.startswith(
        "unknown recipe 'digit_demo'. Did you mean 'digits_demo'? There are: "
    )
    assert message.endswith("or a .toml file")


def test_a_file_that_is_missing_or_no_toml_is_named(tmp_path):
    assert "cannot read the recipe" in refusal(tmp_path / "none.toml")
    for content in (b"title = ", b"\xff\xfe"):
        (tmp_path / "a.toml").write_bytes(content)
        assert f"cannot read the recipe {tmp_path / 'a.toml'}" in refusal(tmp_path / "a.toml")


def test_a_recipe_for_data_of_the_users_asks_where_it_lies(write):
    with pytest.raises(
        OptionError, match="recipe mine requires its data: data='cifar10:PATH', or scale='smoke'"
    ):
        recipe.reproduce(load_recipe(write()))
    with pytest.raises(OptionError, match=r"unknown scale 'smok'. Did you mean 'smoke'"):
        recipe.reproduce(load_recipe(write()), scale="smok")


# one selection per cell


def test_lists_make_a_grid_and_what_varies_makes_the_names():
    grid = recipe._grid(
        {
            "rule": "window",
            "by": ["a@1", "b"],
            "keep": [0.5, 0.25],
            "offset": 0.02,
            "per_class": True,
        }
    )
    assert list(grid) == ["a@1 keep 0.5", "a@1 keep 0.25", "b keep 0.5", "b keep 0.25"]
    assert grid["b keep 0.5"] == {
        "rule": "window",
        "per_class": True,
        "by": "b",
        "keep": 0.5,
        "offset": 0.02,
    }
    assert list(recipe._grid({"by": "a@1", "offset": [0, 0.01]})) == ["offset 0", "offset 0.01"]


def test_a_single_cell_is_called_selection():
    options = {"rule": "top", "by": "a@1", "keep": 0.5}
    assert recipe._grid(options) == {"selection": options}
    assert recipe._grid({"by": ["a@1"], "keep": [0.5]}) == {"selection": {"by": "a@1", "keep": 0.5}}


# smoke


def test_smoke_shrinks_every_epoch_in_proportion_and_renames_the_columns(write):
    small = recipe.smoke(load_recipe(write()))
    assert small.source == "digits"
    assert (small.train.model, small.train.epochs, small.train.batch_size) == ("convnet", 10, 64)
    assert (small.train.milestones, small.train.crop_padding) == ((3, 6, 8), 1)
    assert (small.score["epochs"], small.score["runs"]) == ([0, 1, 10], 2)
    assert small.select["by"] == ["el2n@1", "grand@10"]
    assert small.select["keep"] == [0.5, 0.25]
    assert (small.retrain["runs"], small.retrain["budget"]) == (2, "steps")
    assert (small.seeds, small.expect) == ({"score": 5, "retrain": 1000}, ())


def test_smoke_leaves_columns_without_an_epoch_and_rules_without_a_column(write):
    assert recipe.smoke(load_recipe(write("grand@200", "random"))).select["by"] == [
        "el2n@1",
        "random",
    ]
    path = write('by = ["el2n@20", "grand@200"]\n')
    path.write_text(path.read_text().replace("el2n@20 keep", "keep"))
    assert "by" not in recipe.smoke(load_recipe(path)).select


@given(whole=st.integers(1, 300), data=st.data())
def test_smoke_keeps_an_epoch_in_range_and_untrained_untrained(whole, data):
    at = data.draw(st.integers(0, whole))
    full = load_recipe("digits_demo")
    full = replace(
        full,
        train=full.train.changed({"epochs": whole}),
        score={**full.score, "epochs": [at]},
        select={"by": f"el2n@{at}"},
    )
    small = recipe.smoke(full)
    [epoch] = small.score["epochs"]
    assert 0 <= epoch <= 10
    assert (epoch == 0) == (at == 0)
    assert small.select["by"] == [f"el2n@{epoch}"]
    assert abs(epoch - 10 * at / whole) <= max(0.5, 1 - 10 * at / whole)
