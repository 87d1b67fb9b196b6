import prune_kit.table
from prune_kit_cli.main import exit_code


def test_the_version_is_printed(capsys):
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out == f"prune-kit {prune_kit.table.version()}\n"


def test_bare_words_show_the_help(capsys):
    assert exit_code([]) == 0
    assert "Start with: prune-kit demo" in capsys.readouterr().out
