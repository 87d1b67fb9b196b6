"""The options that several commands share, each with its help text and its panel in one place.

A command lists its options in the order of need: data, then what it is about, then how networks are
trained, where that runs, and what is printed.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from prune_kit import registry
from prune_kit.storage import workdir
from prune_kit_cli.completion import offered

DATA, SCORES, SELECTION, LABELS = "Data", "Scores", "Selection", "Wrong labels"
TRAINING, WHERE, EXPORT, OUTPUT = "Training", "Where it runs", "What is written", "Output"

DEFAULT_WORKDIR = Path(workdir.DEFAULT_WORKDIR)
DEFAULT_RULE: str = registry.literal(
    Path(registry.__file__).with_name("selectors") / "__init__.py", "DEFAULT_RULE"
)
RUNS = workdir.RUNS


def option(panel: str, *flags: str, **settings: Any) -> Any:
    """An option in a panel of the help."""
    completer = offered(flags[0], settings.get("metavar"))
    return typer.Option(*flags, rich_help_panel=panel, autocompletion=completer, **settings)


def argument(metavar: str, text: str) -> Any:
    """An argument, with its help."""
    return typer.Argument(metavar=metavar, help=text, autocompletion=offered(metavar))


# output
AsJson = Annotated[
    bool, option(OUTPUT, "--json", help="Print one JSON object, and nothing else, on stdout.")
]
Quiet = Annotated[bool, option(OUTPUT, "--quiet", help="Print errors only.")]
WorkDir = Annotated[
    Path,
    option(
        OUTPUT,
        "--workdir",
        metavar="FOLDER",
        envvar="PRUNE_KIT_WORKDIR",
        help="Where each stage finds the one before it.",
    ),
]

# data
Data = Annotated[
    str | None,
    option(
        DATA,
        "--data",
        metavar="SPEC",
        help="Such as mnist:DIR or folder:DIR: see `prune-kit list data`.",
    ),
]
DataAgain = Annotated[
    str | None,
    option(
        DATA,
        "--data",
        metavar="SPEC",
        help="Where the same data lies now. Images and labels are compared.",
    ),
]
Trust = Annotated[bool, option(DATA, "--trust", help="Run the code that a file names as its data.")]
Labels = Annotated[
    Path | None,
    option(
        DATA,
        "--labels",
        metavar="FILE",
        help="Other labels of the same rows: npy, or csv with `label`.",
    ),
]
Key = Annotated[
    str | None,
    option(
        DATA,
        "--key",
        metavar="COLUMN",
        help="The column of a csv that names rows, where it is unusual.",
    ),
]
ScoresFile = Annotated[
    Path | None,
    option(DATA, "--scores", metavar="FILE", help="Another score table than that of the workdir."),
]
Selections = Annotated[
    list[Path] | None,
    option(DATA, "--selection", metavar="FILE", help="A selection or removal file. Repeatable."),
]

# scores
Method = Annotated[
    list[str] | None,
    option(
        SCORES,
        "--method",
        metavar="NAMES",
        help="One or several of `prune-kit list methods` (default: el2n).",
    ),
]
Epoch = Annotated[
    list[str] | None,
    option(
        SCORES,
        "--epoch",
        metavar="LIST",
        help="Score after so many epochs; 0 is untrained (default: 20, MNIST 10; at most the "
        "last).",
    ),
]
Observe = Annotated[
    str | None,
    option(
        SCORES,
        "--observe",
        metavar="WHERE",
        help="When cumulative scores look at an image: as it is trained on (minibatches, the "
        "default, free), or as it is, after each epoch (sweep).",
    ),
]
Probes = Annotated[
    float | None,
    option(
        SCORES,
        "--probes",
        metavar="F",
        help="Plant wrong labels in this share of the rows, to calibrate `clean` (0.05 is plenty).",
    ),
]

# selections
By = Annotated[
    str | None,
    option(
        SELECTION, "--by", metavar="COLUMN", help="The score column to rank by, such as el2n@20."
    ),
]
Keep = Annotated[
    float,
    option(
        SELECTION,
        "--keep",
        metavar="F",
        help="The share of the training rows to keep, above 0 to 1.",
    ),
]
Rules = Annotated[
    str, option(SELECTION, "--rule", metavar="LIST", help="Of `prune-kit list rules`.")
]

# training
Model = Annotated[
    str | None,
    option(TRAINING, "--model", metavar="NAME", help="Another network of `prune-kit list models`."),
]
Recipe = Annotated[
    str | None,
    option(TRAINING, "--recipe", metavar="NAME|FILE", help="Train as a recipe does."),
]
Train = Annotated[
    list[str] | None,
    option(
        TRAINING,
        "--train",
        metavar="KEY=VALUE",
        help="Change how networks are trained, such as epochs=10. Repeatable; a wrong key lists "
        "all.",
    ),
]
Baseline = Annotated[
    str,
    option(
        TRAINING,
        "--baseline",
        metavar="LIST",
        help="What to compare with: full, random, both or none.",
    ),
]
Budget = Annotated[
    str,
    option(
        TRAINING,
        "--budget",
        metavar="UNIT",
        help="Train every set for as many steps as all data, or for as many epochs.",
    ),
]
RetrainSeed = Annotated[
    int | None,
    option(TRAINING, "--seed", metavar="S", help="The seed of the first network (default: 1000)."),
]

# where it runs
Device = Annotated[
    str,
    option(
        WHERE,
        "--device",
        metavar="NAME",
        help="auto (the default), cpu, cuda or cuda:N.",
        show_default=False,
    ),
]
Precision = Annotated[
    str,
    option(
        WHERE,
        "--precision",
        metavar="NAME",
        help="fp32, bf16, or auto (the default): that of the scores, else bf16 where it pays.",
        show_default=False,
    ),
]
Jobs = Annotated[
    int | None,
    option(
        WHERE,
        "--jobs",
        metavar="J",
        help="Networks trained at once (default: as the cores allow, 1 on a GPU). Changes no "
        "result.",
    ),
]
Threads = Annotated[
    int | None,
    option(
        WHERE,
        "--threads",
        metavar="T",
        help="CPU threads of each network (default: those of the table, else cores / networks). "
        "Changes the rounding.",
    ),
]
DryRun = Annotated[
    bool,
    option(WHERE, "--dry-run", help="Say what would be trained, and in how much memory; stop."),
]
