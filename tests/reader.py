"""A reader of our pages, who types what they say."""

import json

import pytest

from prune_kit.protocol import defaults
from prune_kit_cli.main import program

# what digits trains: its own protocol in `make test-slow`, a small and short one in `make test`
OWN, SHORT = "{}", json.dumps({"model": "mlp", "batch_size": 512})
PROTOCOLS = [pytest.param(SHORT, id="short"), pytest.param(OWN, id="own", marks=pytest.mark.slow)]


def training(changes: str) -> str:
    """The line of a program after which digits trains otherwise."""
    return (
        "from prune_kit.protocol.defaults import PROTOCOLS as protocols; "
        f"protocols['digits'] = protocols['digits'].changed({changes})"
    )


def train(patch: pytest.MonkeyPatch, changes: str) -> None:
    """Let digits train otherwise in this process."""
    protocol = defaults.PROTOCOLS["digits"].changed(json.loads(changes))
    patch.setitem(defaults.PROTOCOLS, "digits", protocol)


def unknown_options(words: list[str]) -> list[str]:
    """The options of a command line that its command does not have."""
    known = {flag for option in program().commands[words[1]].params for flag in option.opts}
    return [word for word in words if word.startswith("--") and word not in known | {"--help"}]
