"""What every module of a folder of entries must have, and the options that it declares."""

import inspect
import typing
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from beartype.door import is_bearable

from prune_kit import exporters, load_data, models, pipeline, registry
from prune_kit.cleaning import cuts
from prune_kit.data import sources
from prune_kit.errors import OptionError
from prune_kit.registry import Option
from prune_kit.scorers import Scorer, ScorerExtras
from prune_kit.selectors import Rule

PROTOCOLS: dict[str, type] = {
    registry.SCORERS: Scorer,
    registry.SELECTORS: Rule,
    cuts.__name__: cuts.CutModule,
    sources.__name__: sources.Source,
    exporters.__name__: exporters.Exporter,
    models.__name__: models.ModelFamily,
}
VERBS = {
    registry.SCORERS: pipeline.score,
    registry.SELECTORS: pipeline.select,
    registry.EXPORTERS: pipeline.export,
    registry.SOURCES: load_data,
}
ENTRIES = [(package, name) for package in PROTOCOLS for name in registry.module_names(package)]
every_entry = pytest.mark.parametrize(("package", "name"), ENTRIES)


def violations(
    module: ModuleType, protocol: type, options: list[str], *, optional: bool = False
) -> Iterator[str]:
    """Where a module is not what a protocol says; an optional part that it lacks is none."""
    for attribute, hint in typing.get_type_hints(protocol).items():
        if not hasattr(module, attribute):
            if not optional:
                yield f"lacks {attribute}"
        elif not is_bearable(getattr(module, attribute), hint):
            yield f"{attribute} is no {hint}"
    for name, method in vars(protocol).items():
        if not inspect.isfunction(method) or name.startswith("_"):
            continue
        if not hasattr(module, name):
            if not optional:
                yield f"lacks {name}()"
            continue
        asked = list(inspect.signature(method).parameters.values())[1:]
        expected = [(p.name, p.kind) for p in asked if p.kind is not p.VAR_KEYWORD]
        takes_options = len(expected) < len(asked)
        found = list(inspect.signature(getattr(module, name)).parameters.values())
        if takes_options and not any(p.kind is p.VAR_KEYWORD for p in found):
            expected += [(option, inspect.Parameter.KEYWORD_ONLY) for option in options]
        given = [(p.name, p.kind) for p in found if p.kind is not p.VAR_KEYWORD]
        if [name for name, _ in given] != [name for name, _ in expected]:
            yield f"{name}() takes {given}, expected {expected}"
        if any(kind is inspect.Parameter.POSITIONAL_ONLY for _, kind in given):
            yield f"{name}() must take keywords"


@every_entry
def test_a_module_has_what_its_protocol_says(package: str, name: str) -> None:
    module = registry.load(package, name, "entry")
    options = list(registry.entry_options(package, name))
    assert list(violations(module, PROTOCOLS[package], options)) == []
    if package == registry.SCORERS:
        assert list(violations(module, ScorerExtras, options, optional=True)) == []
        assert hasattr(module, "NEEDS") != hasattr(module, "needs")


def test_a_module_that_is_not_what_its_protocol_says_is_found() -> None:
    module = ModuleType("made_up")
    vars(module).update(USES_SCORES="yes", select=lambda table, by, keep, bins: None)
    [first, second] = violations(module, Rule, ["least"])
    assert first.startswith("USES_SCORES is no")
    assert second.startswith("select() takes")


@every_entry
def test_what_is_read_without_running_is_what_the_module_has(package: str, name: str) -> None:
    module = registry.load(package, name, "entry")
    declared = registry.entry_options(package, name)
    assert list(declared) == list(getattr(module, "OPTIONS", {}))
    assert registry.summary(package, name) == (module.__doc__ or "").split("\n")[0]


@every_entry
def test_an_option_is_described_and_its_default_fits(package: str, name: str) -> None:
    verb = VERBS.get(package)
    for option in registry.entry_options(package, name).values():
        assert option.type in registry.WORDS_OF_TYPES
        assert option.help.endswith((".", ")."))
        assert option.default is None or option.checked(option.default) == option.default
        assert bool(option.metavar or option.choices) == (option.type != "bool")
        assert verb is not None and option.name not in inspect.signature(verb).parameters


@pytest.mark.parametrize(
    ("type_", "right", "wrong"),
    [
        ("int", [3, 0], [1.0, "3", True, None, [3]]),
        ("float", [0.5, 1], ["0.5", False, [0.5]]),
        ("str", ["a", ""], [1, True]),
        ("bool", [True, False], [1, "yes"]),
        ("list[int]", [(1, 2), [3], ()], [1, "1,2", [1.5], [True]]),
    ],
)
def test_a_value_of_another_type_is_refused(type_: str, right: list[Any], wrong: list[Any]) -> None:
    option = Option("most_bins", type_, "Bins.")
    for value in right:
        assert option.checked(value) == (tuple(value) if type_ == "list[int]" else value)
    for value in wrong:
        with pytest.raises(OptionError) as caught:
            option.checked(value)
        assert f"most_bins={value!r} does not fit; expected" in str(caught.value)


def test_a_value_that_is_no_choice_or_too_small_is_refused() -> None:
    with pytest.raises(OptionError, match=r"unknown `end` 'hrd'\. Did you mean 'hard'\?"):
        Option("end", "str", "The end.", choices=("hard", "easy")).checked("hrd")
    least = Option("share", "float", "A share.", minimum=0)
    for value in (-0.1, float("nan")):
        with pytest.raises(OptionError, match=f"share={value} is out of range; at least 0"):
            least.checked(value)


def test_options_given_to_several_entries_go_to_those_that_take_them() -> None:
    chosen = registry.chosen_options(registry.SCORERS, "method", ["el2n", "cscore"], {"folds": 3})
    assert chosen["el2n"] == {}
    assert chosen["cscore"] == {**registry.defaults(registry.SCORERS, "cscore"), "folds": 3}
    with pytest.raises(OptionError) as caught:
        registry.chosen_options(registry.SCORERS, "method", ["el2n", "grand"], {"folds": 3})
    assert str(caught.value) == (
        "method='el2n,grand' takes no `folds`; it takes `bn`. `folds` is for method='cscore'"
    )
    with pytest.raises(OptionError, match="unknown method 'el2m'"):
        registry.chosen_options(registry.SCORERS, "method", ["el2m"], {})
