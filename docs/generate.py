"""Write the pages of docs/reference/ from the source tree: every command, method, rule, ..., name.

    python docs/generate.py

Names come from the folders through the registry. Formulas and papers come from the docstrings,
options from the command line itself. `make docs` runs this script; a test compares the pages in the
repository with what it would write.
"""

import ast
import inspect
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

ROOT = Path(__file__).resolve().parents[1]
# The tree around this script comes first, whatever is installed.
sys.path[:0] = [str(ROOT), str(ROOT / "cli")]

import prune_kit  # noqa: E402
from prune_kit import registry  # noqa: E402

REFERENCE = ROOT / "docs" / "reference"
PACKAGE = ROOT / "prune_kit"
NOTE = "<!-- Written by docs/generate.py. To change it: change {source}, then run make docs. -->"
SECTION = re.compile(r"(\w[\w ]*)\n-+\n?")  # a heading of a numpy-style docstring
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
ADDRESS = re.compile(r"https?://[^\s<>`]*[^\s<>`.,:;)]")

METHODS = """\
A method gives every example one number. `prune-kit score --method NAME` computes it. A column of a
score table bears its name and its epoch, such as `el2n@20`.

Each method says whether higher numbers mean harder or easier examples, and what the runs must have
recorded for it:

- **nothing**: it needs no network.
- **sweep**: one pass over all rows after the epoch, without augmentation and in eval mode.
- **every sweep**: such a pass after every epoch up to the epoch asked for.
- **checkpoint**: the weights after the epoch.
- **minibatches**: what the training saw of each example up to the epoch. This is free.
- **threshold**: one pass at the first step at which the training accuracy reaches a threshold.
- **folds**: networks that are trained on parts of the rows and judge the rest.

In the formulas x_i is an example, y_i its label, r a run (one network), R their number, N the
number of examples, and p the softmax of the logits. Where a formula has an r, each run has its own
scores, and the column is their mean over the runs (of `difficulty`, their sum)."""

RULES = """\
A rule says which training rows stay, from one column of a score table.
`prune-kit select --rule NAME` applies it. Without `--rule` it is `window`."""

CUTS = """\
A cut says where, in a list that is sorted by suspicion, the wrong labels end.
`prune-kit clean --cut NAME` applies it. No cut looks at true labels."""

FORMATS = """\
A format is how `prune-kit export --format NAME` writes a selection for other people's training
code. All row numbers are those of the data source."""

MODELS = """\
A network that can be trained is named with `--model NAME`. All of them start from a fresh
initialisation; no weights are downloaded."""

SOURCES = """\
A data set is named with `--data NAME:PATH`. Nothing is downloaded. Where a source has no test set,
a seeded, stratified fifth of its rows plays the test set, and the command says so."""

RECIPES = """\
A recipe is an experiment of a paper, or a small stand-in for one. `prune-kit reproduce NAME` runs
it. `--scale smoke` runs it on digits in about a minute, to show that it works; its figures mean
nothing."""

COMMANDS = """\
Every command takes `--json`, which prints one JSON object on stdout, `--quiet` and `--workdir`.
Exit codes: 0 done, 1 a bug of ours, 2 something that you can mend (one line says what), 130
interrupted. A reader that leaves early, as `head` does, and a stream that is closed change nothing:
the code is 0. Where the standard output is full, it is 2. Characters that its encoding lacks are
written in others.

`prune-kit --install-completion` teaches your shell to complete commands, options, methods, rules,
networks, columns of the score table, and files of the workdir. `python -m prune_kit` is
`prune-kit`.

A file that is replaced keeps its mode, and a symbolic link stays: what it leads to is replaced.
Folders, devices and pipes are refused. `~` in a path is your home folder."""

VERBS = """\
`import prune_kit` loads neither torch nor numpy; a name is loaded when it is first used."""


def pages() -> dict[str, str]:
    """Return the text of every generated page, by its file name in docs/reference/."""
    entry_pages: dict[str, tuple[str, str, Callable[[ModuleType, ast.Module], Iterator[str]]]] = {
        "methods": ("scorers", METHODS, method_lines),
        "rules": ("selectors", RULES, rule_lines),
        "cuts": ("cuts", CUTS, cut_lines),
        "formats": ("exporters", FORMATS, format_lines),
        "models": ("models", MODELS, model_lines),
        "sources": ("sources", SOURCES, source_lines),
    }
    written = {
        f"{title}.md": page(
            title.capitalize(),
            f"the docstrings in the folder {folder}/",
            intro,
            entries(folder, body),
        )
        for title, (folder, intro, body) in entry_pages.items()
    }
    written["recipes.md"] = page("Recipes", "recipes/", RECIPES, recipes())
    written["commands.md"] = page("Commands", "the command", COMMANDS, commands())
    written["python.md"] = page("The Python verbs", "the docstring", VERBS, public_names())
    return written


def page(title: str, source: str, intro: str, body: Iterable[str]) -> str:
    """Return one page: its title, what it is about, and its entries."""
    return "\n\n".join([NOTE.format(source=source), f"# {title}", intro, *body]) + "\n"


# ---------------------------------------------------------------- entries of the registry's folders


def entries(folder: str, body: Callable[[ModuleType, ast.Module], Iterator[str]]) -> Iterator[str]:
    """Yield title, docstring and `body` of every module in the folder of that name."""
    package = package_called(folder)
    for name in registry.module_names(package):
        module = registry.load(package, name, "entry")
        tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
        heading, summary, rest = titled(ast.get_docstring(tree) or "", name)
        yield f"## {heading}"
        yield prose(sentence(summary))
        yield from filter(None, body(module, tree))
        if rest:
            yield markdown(rest)


def package_called(folder: str) -> str:
    """Return the dotted name of the package in the folder of that name, wherever in the tree it is.

    Raises
    ------
    ValueError
        If there is not exactly one.
    """
    (found,) = (path.parent for path in PACKAGE.rglob("__init__.py") if path.parent.name == folder)
    return ".".join(found.relative_to(ROOT).parts)


def titled(docstring: str, name: str) -> tuple[str, str, str]:
    """Split a module's docstring into its name, the rest of its first line, and the rest."""
    first, _, rest = docstring.partition("\n")
    heading, colon, summary = first.partition(": ")
    return (heading, summary, rest.strip()) if colon else (name, first, rest.strip())


def sentence(text: str) -> str:
    """Return the text with a capital letter, unless it begins with a formula or a name."""
    word = text.split(" ")[0]
    return text[:1].upper() + text[1:] if word.isalpha() and word.islower() else text


def method_lines(module: ModuleType, tree: ast.Module) -> Iterator[str]:
    """Yield what a scorer's module says: direction, needs, options, formula."""
    needs = getattr(module, "NEEDS", None)
    wanted = f"It needs: {needs}." if needs else "What it needs depends on its options."
    yield f"Higher means {module.HIGHER_MEANS}. {wanted}"
    yield option_lines(module)
    yield function_docstring(tree, "score")


def rule_lines(module: ModuleType, tree: ast.Module) -> Iterator[str]:
    """Yield what a selector's module says: options, and what it does."""
    yield option_lines(module)
    yield function_docstring(tree, "select")


def cut_lines(module: ModuleType, tree: ast.Module) -> Iterator[str]:
    """Yield what a cut's module says: what it must have, and what it does."""
    needs = {
        "probability": "the averaged probabilities",
        "probes": "planted labels",
        "": "the score alone",
    }
    yield f"It needs {needs[module.NEEDS]}."
    yield function_docstring(tree, "find")


def format_lines(module: ModuleType, tree: ast.Module) -> Iterator[str]:
    """Yield what an exporter's module says: ending, which rows, options, and what it writes."""
    rows = (
        "all rows, kept and dropped" if module.WHOLE_TABLE else "the rows to keep, or those to drop"
    )
    what = "file" if "." in module.SUFFIX else "folder"
    yield f"The {what} ends in `{module.SUFFIX}` where no other name is given, and lists {rows}."
    yield option_lines(module)
    yield function_docstring(tree, "export")


def model_lines(module: ModuleType, tree: ast.Module) -> Iterator[str]:
    """Yield what a family of networks says of how it is built."""
    yield function_docstring(tree, "build")


def source_lines(module: ModuleType, tree: ast.Module) -> Iterator[str]:
    """Yield what a data source says of what it loads."""
    yield function_docstring(tree, "load")


def option_lines(module: ModuleType) -> str:
    """Return a list of the options that a module declares: name, default, what it is; or ""."""
    package, _, name = module.__name__.rpartition(".")
    lines = []
    for option in registry.entry_options(package, name).values():
        choices = f" ({', '.join(option.choices)})" if option.choices else ""
        lines.append(f"- `{option.name}`{choices}, default {told(option.default)}: {option.help}")
    return "\n".join(["Options:", "", *lines]) if lines else ""


def told(default: Any) -> str:
    """Return a default as a reader writes it."""
    if isinstance(default, tuple | list):
        return f"`{','.join(str(value) for value in default)}`"
    words = {None: "none", True: "yes", False: "no"}
    return words[default] if default is None or isinstance(default, bool) else f"`{default}`"


def definition(tree: ast.Module | ast.ClassDef, name: str) -> ast.FunctionDef:
    """Return the definition of a function in a module or a class."""
    (found,) = (
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name
    )
    return found


def function_docstring(tree: ast.Module, name: str) -> str:
    """Return a function's docstring as Markdown."""
    return markdown(ast.get_docstring(definition(tree, name)) or "")


def recipes() -> Iterator[str]:
    """Yield one entry for every recipe: its title, its paper, and its data."""
    for path in sorted((ROOT / "recipes").glob("*.toml")):
        recipe = tomllib.loads(path.read_text("utf-8"))
        yield f"## {path.stem}"
        yield prose(f"{recipe['title']}.")
        if "paper" in recipe:
            yield prose(f"Paper: {recipe['paper']}.")
        yield f"Data: `{recipe['data']['source']}`. Network: `{recipe['train']['model']}`."


# ---------------------------------------------------------------- the command line


def commands() -> Iterator[str]:
    """Yield one entry for every command, in the order of the command line's own help."""
    from typer.main import get_command

    from prune_kit_cli.main import app

    group: Any = get_command(app)
    functions = {info.name: info.callback for info in app.registered_commands}
    for name, command in group.commands.items():
        yield f"## {name}"
        yield from help_lines(command.help or "")
        arguments = [
            parameter for parameter in command.params if parameter.param_type_name == "argument"
        ]
        options = [
            parameter for parameter in command.params if parameter.param_type_name == "option"
        ]
        words = [f"[{metavar(argument)}]" for argument in arguments]
        yield fenced("text", " ".join(["prune-kit", name, *words, "[OPTIONS]"]))
        if arguments:
            helps = get_type_hints(functions[name], include_extras=True)
            yield table(
                "argument",
                ((f"`{metavar(each)}`", argument_help(helps[each.name])) for each in arguments),
            )
        for panel in dict.fromkeys(panel_of(option) for option in options):
            if panel:
                yield f"**{panel}**"
            chosen = (option for option in options if panel_of(option) == panel)
            yield table(
                "option", ((option_words(option), option_help(option)) for option in chosen)
            )


def help_lines(text: str) -> Iterator[str]:
    """Yield the paragraphs of a command's help, its example as code."""
    for paragraph in text.split("\n\n"):
        if paragraph.startswith("Example: "):
            yield "For example:"
            yield fenced("text", paragraph.removeprefix("Example: "))
        else:
            yield prose(paragraph)


def argument_help(declared: Any) -> str:
    """Return what an argument is, from its declaration: old typers lose it beside a new click."""
    (argument,) = declared.__metadata__
    return str(argument.help)


def panel_of(parameter: Any) -> str:
    """Return the title of the panel in which `--help` shows an option; "" where it has none."""
    return getattr(parameter, "rich_help_panel", None) or ""


def metavar(parameter: Any) -> str:
    """Return the word for a parameter's value."""
    return str(parameter.metavar or parameter.name.upper())


def option_words(option: Any) -> str:
    """Return an option as it is typed, such as `--keep F`."""
    words = " / ".join([*option.opts, *option.secondary_opts])
    return f"`{words}`" if option.is_flag else f"`{words} {metavar(option)}`"


def option_help(option: Any) -> str:
    """Return what an option does, with the default that its help does not say."""
    text = option.help or ""
    if option.envvar:
        text += f" Also from the environment: `{option.envvar}`."
    if (
        option.is_flag
        or option.default is None
        or not isinstance(option.default, str | int | float | Path)
    ):
        return text
    return f"{text} Default: `{option.default}`."


def table(first: str, lines: Iterable[tuple[str, str]]) -> str:
    """Return a table of two columns: what is typed, and what it does."""
    shown = [f"| {cell(typed)} | {cell(prose(text))} |" for typed, text in lines]
    return "\n".join([f"| {first} | what it does |", "|---|---|", *shown])


def cell(text: str) -> str:
    """Return a text that may stand in a table."""
    return text.replace("|", r"\|")


# ---------------------------------------------------------------- the public names


def public_names() -> Iterator[str]:
    """Yield an entry for every name in `prune_kit.__all__`: the verbs in their order first."""
    homes = homes_of_public_names()
    nodes = {name: node_of(path, name) for name, path in homes.items()}
    functions = {name: node for name, node in nodes.items() if isinstance(node, ast.FunctionDef)}
    verbs = sorted(
        (name for name in functions if homes[name].stem == "pipeline"),
        key=lambda n: functions[n].lineno,
    )
    yield "## The verbs, in the order in which they are used"
    for name in verbs:
        yield from function_lines(name, functions[name])
    yield "## Other functions"
    for name in sorted(functions.keys() - set(verbs)):
        yield from function_lines(name, functions[name])
    yield "## Values and errors"
    for name, node in nodes.items():
        if isinstance(node, ast.ClassDef):
            yield from class_lines(name, node)


def homes_of_public_names() -> dict[str, Path]:
    """Return the file of every public name, as the package's imports for type checkers say it."""
    homes = {}
    for node in ast.walk(ast.parse((PACKAGE / "__init__.py").read_text("utf-8"))):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.startswith("prune_kit.")
        ):
            path = ROOT.joinpath(*node.module.split("."))
            file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            homes |= {alias.name: file for alias in node.names}
    return {name: homes[name] for name in prune_kit.__all__}


def node_of(path: Path, name: str) -> ast.FunctionDef | ast.ClassDef:
    """Return the definition of a public name."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return node
    raise AssertionError(f"{path} does not define {name}")


def function_lines(name: str, node: ast.FunctionDef) -> Iterator[str]:
    """Yield the title, the signature and the docstring of a function."""
    yield f"### {name}"
    yield fenced("python", f"prune_kit.{name}{signature(node)}")
    yield markdown(ast.get_docstring(node) or "")


def class_lines(name: str, node: ast.ClassDef) -> Iterator[str]:
    """Yield the title and the docstring of a class, and one line for each public method."""
    yield f"### {name}"
    yield markdown(ast.get_docstring(node) or "")
    methods = [
        each
        for each in node.body
        if isinstance(each, ast.FunctionDef) and not each.name.startswith("_")
    ]
    if methods:
        yield "\n".join(f"- {method_line(method)}" for method in methods)


def method_line(node: ast.FunctionDef) -> str:
    """Return a method's name and the first line of its docstring."""
    decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
    called = "" if decorators & {"property", "cached_property"} else "()"
    first = (ast.get_docstring(node) or "").split("\n")[0]
    return f"`{node.name}{called}`: {prose(first)}"


def signature(node: ast.FunctionDef) -> str:
    """Return a function's parameters and what it returns, a line for each where they are many."""
    arguments = node.args
    words = []
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
    for argument, default in zip(positional, [*defaults, *arguments.defaults], strict=True):
        words.append(parameter_word(argument, default))
    if arguments.kwonlyargs:
        words.append("*")
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        words.append(parameter_word(argument, default))
    if arguments.kwarg:
        words.append(f"**{parameter_word(arguments.kwarg, None)}")
    returned = f" -> {annotation(node.returns)}" if node.returns else ""
    short = f"({', '.join(words)}){returned}"
    return (
        short
        if len(short) <= 70
        else "(\n" + "".join(f"    {word},\n" for word in words) + f"){returned}"
    )


def parameter_word(argument: ast.arg, default: ast.expr | None) -> str:
    """Return one parameter with its type and its default."""
    kind = f": {annotation(argument.annotation)}" if argument.annotation else ""
    if default is None:
        return f"{argument.arg}{kind}"
    return f"{argument.arg}{kind}{' = ' if kind else '='}{ast.unparse(default)}"


def annotation(node: ast.expr) -> str:
    """Return a type as it is written, without the quotes of one that is not imported."""
    return (
        node.value
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        else ast.unparse(node)
    )


# ---------------------------------------------------------------- docstrings as Markdown


def markdown(docstring: str) -> str:
    """Return a docstring as Markdown: indented blocks become code, numpy's sections lists."""
    parts: list[str] = []
    for block in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        heading = SECTION.match(block)
        if heading:
            parts.append(f"**{heading[1]}**")
            block = block[heading.end() :]
            if block:
                parts.append(parameter_list(block))
        elif block.startswith("    "):
            parts.append(fenced("text", textwrap.dedent(block)))
        elif block.startswith("- "):
            parts.append("\n".join(escaped(line) for line in block.split("\n")))
        elif block:
            parts.append(prose(block))
    return "\n\n".join(parts)


def parameter_list(block: str) -> str:
    """Return the entries of one section of a numpy-style docstring as a list."""
    items: list[list[str]] = []
    for line in block.split("\n"):
        if line.startswith(" ") and items:
            items[-1].append(line.strip())
        else:
            items.append([line.strip()])
    return "\n".join(list_item(first, " ".join(rest)) for first, *rest in items)


def list_item(first: str, text: str) -> str:
    """Return one entry: its name in code, its type after it, and what it says."""
    name, colon, kind = first.partition(" : ")
    said = f": {prose(text)}" if text else ""
    return f"- `{name}` ({escaped(kind)}){said}" if colon else f"- `{first}`{said}"


def prose(text: str) -> str:
    """Return one paragraph in one line, its signs of Markdown escaped and its addresses linked."""
    return escaped(" ".join(text.split()))


def escaped(text: str) -> str:
    """Escape what Markdown would read as markup, outside code; make links of addresses."""
    pieces = re.split(r"(`[^`]*`)", text)
    return "".join(piece if piece.startswith("`") else linked(piece) for piece in pieces)


def linked(text: str) -> str:
    """Escape a piece without code, and put its addresses into angle brackets."""
    words, end = [], 0
    for found in ADDRESS.finditer(text):
        words += [bare(text[end : found.start()]), f"<{found[0]}>"]
        end = found.end()
    return "".join([*words, bare(text[end:])])


def bare(text: str) -> str:
    """Escape the signs of Markdown in a text without code and addresses; flags become code."""
    return FLAG.sub(r"`\g<0>`", re.sub(r"([*<\\])", r"\\\1", text))


def fenced(language: str, code: str) -> str:
    """Return a block of code."""
    return f"```{language}\n{code}\n```"


def main() -> None:
    """Write the pages, and remove those that are no longer made."""
    REFERENCE.mkdir(parents=True, exist_ok=True)
    made = pages()
    for path in REFERENCE.glob("*.md"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        (REFERENCE / name).write_text(text, "utf-8")


if __name__ == "__main__":
    main()
