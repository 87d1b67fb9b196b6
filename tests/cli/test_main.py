import prune_kit.storage.provenance
from prune_kit_cli.main import app, exit_code


def test_the_version_is_printed(capsys):
    assert exit_code(["--version"]) == 0
    assert capsys.readouterr().out == f"prune-kit {prune_kit.storage.provenance.version()}\n"


def test_bare_words_show_the_help(capsys):
    assert exit_code([]) == 0
    assert "Start with: prune-kit demo" in capsys.readouterr().out


def test_the_help_leaves_it_to_the_terminal_where_its_lines_end():
    texts = {command.name: command.help for command in app.registered_commands}
    assert len(texts) == 16
    for name, text in texts.items():
        assert text and "\n" not in text.replace("\n\n", ""), name
