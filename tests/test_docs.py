"""The documentation: its generated pages are those of the tree, its snippets run."""

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import h5py
import pytest

from tests.reader import PROTOCOLS, training, unknown_options

DOCS = Path(__file__).parents[1] / "docs"
READERS_OWN = ("DIR", "FILE", "PATH")  # words for what only the reader has
NOT_RUN = ("pip", "demo")  # the demo has a test of its own, and takes a minute


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", DOCS / "generate.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def hand_written() -> list[Path]:
    """The guides, in the order of the table of contents: one goes on where the one before ended."""
    index = (DOCS / "index.md").read_text("utf-8")
    names = re.findall(r"^[a-z_/]+$", index, re.MULTILINE)
    return [DOCS / f"{name}.md" for name in names if not name.startswith("reference/")]


def blocks(page: Path) -> list[tuple[str, str]]:
    return re.findall(r"```(sh|python)\n(.*?)```", page.read_text("utf-8"), re.DOTALL)


def commands(code: str) -> list[list[str]]:
    return [
        shlex.split(line, comments=True)
        for line in code.splitlines()
        if shlex.split(line, comments=True)
    ]


def is_run(words: list[str]) -> bool:
    needs_data = any(own in word for word in words for own in READERS_OWN)
    return (
        not needs_data
        and "suspects" not in words
        and not any(word in NOT_RUN for word in words[:2])
    )


def script(changes: str) -> str:
    """All that the guides say to type and that needs no data of the reader's, as one program."""
    lines = ["from prune_kit_cli.main import exit_code", training(changes)]
    for page in hand_written():
        for language, code in blocks(page):
            if language == "python":
                lines.append(code)
                continue
            for words in commands(code):
                if is_run(words):
                    lines.append(f"assert exit_code({[*words[1:], '--quiet']}) == 0, {page.name!r}")
    return "\n".join(lines)


@pytest.fixture(scope="module", params=PROTOCOLS)
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of somebody who reads the guides in their order and types what they say."""
    folder = tmp_path_factory.mktemp("reader")
    among_others = "ignore::DeprecationWarning"  # old packages beside new ones
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", among_others, "-c", script(request.param)],
        capture_output=True,
        text=True,
        cwd=folder,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    return folder


def test_the_generated_pages_are_those_of_the_tree(generate: ModuleType) -> None:
    there = {path.name: path.read_text("utf-8") for path in (DOCS / "reference").iterdir()}
    made = generate.pages()
    names = sorted(there.keys() | made.keys())
    stale = [name for name in names if there.get(name) != made.get(name)]
    assert not stale, f"docs/reference/ is stale: {stale}; run make docs, and commit what it writes"


def test_every_generated_page_is_in_the_table_of_contents(generate: ModuleType) -> None:
    listed = re.findall(
        r"^reference/([a-z]+)$", (DOCS / "index.md").read_text("utf-8"), re.MULTILINE
    )
    assert sorted(f"{name}.md" for name in listed) == sorted(generate.pages())


def test_every_page_is_in_the_table_of_contents() -> None:
    assert {path.name for path in DOCS.glob("*.md")} - {"index.md"} == {
        path.name for path in hand_written()
    }


def test_every_module_of_a_registry_folder_has_its_entry(generate: ModuleType) -> None:
    folders = {"methods": "scorers", "rules": "selectors", "cuts": "cuts", "formats": "exporters"}
    folders |= {"models": "models", "sources": "sources"}
    pages = generate.pages()
    for page, folder in folders.items():
        names = generate.registry.module_names(generate.package_called(folder))
        entries = re.split(r"^## ", pages[f"{page}.md"], flags=re.MULTILINE)[1:]
        assert len(entries) == len(names)
        for name, entry in zip(names, entries, strict=True):
            heading, words = entry.split("\n\n", 1)
            assert heading == name or folder in ("models", "sources"), entry
            assert len(words.split()) > 5, entry


def test_docstrings_of_both_styles_become_markdown(generate: ModuleType) -> None:
    docstring = """Give a share.

        s = K / N        in [0, 1]

    See https://arxiv.org/abs/2107.07075, and a * b.

    Parameters
    ----------
    keep : float
        The share to keep,
        above 0.
    offset
        The share to skip.

    Raises
    ------
    OptionError
        If `keep` is 0.
    """
    assert generate.markdown(docstring) == "\n\n".join(
        [
            "Give a share.",
            "```text\ns = K / N        in [0, 1]\n```",
            r"See <https://arxiv.org/abs/2107.07075>, and a \* b.",
            "**Parameters**",
            "- `keep` (float): The share to keep, above 0.\n- `offset`: The share to skip.",
            "**Raises**",
            "- `OptionError`: If `keep` is 0.",
        ]
    )


def test_every_option_in_the_guides_is_known() -> None:
    typed = [
        words
        for page in hand_written()
        for language, code in blocks(page)
        if language == "sh"
        for words in commands(code)
        if words[0] == "prune-kit"
    ]
    assert [words for words in typed if unknown_options(words)] == []
    assert len({words[1] for words in typed}) > 10


def test_the_guides_run(reader: Path) -> None:
    ran = [
        words
        for page in hand_written()
        for kind, code in blocks(page)
        if kind == "sh"
        for words in commands(code)
    ]
    assert len([words for words in ran if is_run(words)]) > 20
    assert sum(kind == "python" for page in hand_written() for kind, _ in blocks(page)) > 5
    assert (reader / "keep.txt").is_file()


def test_every_array_and_attribute_of_our_files_is_described(reader: Path) -> None:
    text = (DOCS / "files.md").read_text("utf-8")
    described = set(re.findall(r"`/?([\w.]+)(?:/COLUMN|/)?`", text))
    kinds, undescribed = set(), set()

    def check(name: str, item: h5py.Group | h5py.Dataset) -> None:
        parts = name.removeprefix("test/").split("/")
        if isinstance(item, h5py.Dataset) and parts[0] not in described:
            undescribed.add(name)
        undescribed.update(set(item.attrs) - described)

    for path in sorted(reader.rglob("*.h5")):
        with h5py.File(path) as file:
            kinds.add(file.attrs["format"])
            assert path.name in described or "selection" in path.name, path
            check("id", file)
            file.visititems(check)
    assert undescribed == set()
    assert kinds == set(re.findall(r"`(prune_kit\.[a-z]+)`", text)), (
        "every kind of file was written"
    )


def test_the_python_of_the_guides_is_python() -> None:
    for page in hand_written():
        for language, code in blocks(page):
            if language == "python":
                ast.parse(code)
