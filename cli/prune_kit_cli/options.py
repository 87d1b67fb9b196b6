"""The options that several commands share, each with its help text in one place."""

from pathlib import Path
from typing import Annotated

import typer

AsJson = Annotated[
    bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print errors only.")]
WorkDir = Annotated[
    Path,
    typer.Option(
        "--workdir",
        envvar="PRUNE_KIT_WORKDIR",
        help="The folder in which each stage finds the one before it.",
    ),
]
DEFAULT_WORKDIR = Path("prune-kit-work")
RUNS = "runs"  # of a workdir, the folder with the trainings

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="SPEC",
        help="mnist:DIR, folder:DIR, npz:FILE, ...: see `prune-kit list data`.",
    ),
]
DataAgain = Annotated[
    str | None,
    typer.Option(
        "--data",
        metavar="SPEC",
        help="A new location of the same data (the fingerprint must agree).",
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust", help="Run the code that a file names as its data (package.module:function)."
    ),
]
By = Annotated[
    str | None,
    typer.Option("--by", metavar="COLUMN", help="The score column to rank by, such as el2n@20."),
]
Keep = Annotated[
    float,
    typer.Option(
        "--keep", metavar="F", help="The share of the training rows to keep, above 0 to 1."
    ),
]
Model = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME", help="Another network: see `prune-kit list models`."),
]
Recipe = Annotated[
    str | None,
    typer.Option("--recipe", metavar="NAME|FILE", help="Take the training protocol of a recipe."),
]
Train = Annotated[
    list[str] | None,
    typer.Option(
        "--train",
        metavar="KEY=VALUE",
        help="Change one field of the protocol: epochs=10, batch_size, learning_rate, schedule, crop_padding, ... "
        "(a wrong name lists all). Repeatable.",
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
Precision = Annotated[
    str,
    typer.Option(
        "--precision",
        help="auto, fp32 or bf16; auto is as the scores are; without any, bf16 on a GPU and, where it pays, on a CPU "
        "that multiplies in it, and fp32 elsewhere.",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        metavar="J",
        help="Networks trained at once (default: as many as the cores hold, on a GPU 1). It changes no result, but for "
        "the last bits of cscore in bf16.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="T",
        help="CPU threads of each network. They change the rounding, and so results a little (default: those of the "
        "table, else the cores divided by the networks, whatever --jobs is).",
    ),
]
Selections = Annotated[
    list[Path] | None,
    typer.Option("--selection", metavar="FILE", help="A selection or removal file. Repeatable."),
]

Labels = Annotated[
    Path | None,
    typer.Option(
        "--labels",
        metavar="FILE",
        help="Other labels for the same rows: npy, or csv with `label` and `index` or `id`.",
    ),
]
ImageSize = Annotated[
    int | None,
    typer.Option(
        "--image-size",
        metavar="PIXELS",
        help="The side to which a folder's images are resized (default: as they are, or 64 where sizes differ).",
    ),
]
Method = Annotated[
    list[str] | None,
    typer.Option(
        "--method", metavar="NAME", help="One or more of `prune-kit list methods` (default: el2n)."
    ),
]
Epoch = Annotated[
    list[str] | None,
    typer.Option(
        "--epoch",
        metavar="T",
        help="Score after T finished epochs; takes a list; 0 is untrained (default: 20, at most the last; MNIST 10).",
    ),
]
Observe = Annotated[
    str | None,
    typer.Option(
        "--observe",
        help="Cumulative scores from the minibatches (free), or from a sweep after each epoch.",
    ),
]
Offset = Annotated[
    float | None,
    typer.Option(
        "--offset", metavar="F", help="The share to skip at one end of the ranking (default: 0)."
    ),
]
OffsetFrom = Annotated[
    str | None,
    typer.Option(
        "--offset-from",
        metavar="hard|easy",
        help="The end that is skipped, and kept next to (default: hard).",
    ),
]

Probes = Annotated[
    float | None,
    typer.Option(
        "--probes", metavar="F",
        help="Plant wrong labels in this share of the rows while scoring, to calibrate `clean` (0.05 is plenty).",
    ),
]  # fmt: skip
Bn = Annotated[
    str | None,
    typer.Option(
        "--bn", metavar="running|calibrated",
        help="grand: batch norm by its running statistics, or recomputed by one pass (default: running).",
    ),
]  # fmt: skip
Ratios = Annotated[
    str | None,
    typer.Option(
        "--ratios",
        metavar="LIST",
        help="cscore: percents to train on (default: 10,20,30,40,50,60,70,80,90).",
    ),
]
Folds = Annotated[
    int | None,
    typer.Option(
        "--folds", metavar="K", help="cscore: networks per ratio; more extend (default: 20)."
    ),
]
Sampling = Annotated[
    str | None,
    typer.Option(
        "--sampling",
        metavar="balanced|uniform",
        help="cscore: how subsets are drawn (default: balanced).",
    ),
]
Space = Annotated[
    str | None,
    typer.Option(
        "--space",
        metavar="pixels|hidden",
        help="density*, lof, *_distance: of pixels, or the last hidden layer (default: hidden).",
    ),
]
Clusters = Annotated[
    int | None,
    typer.Option(
        "--clusters",
        metavar="K",
        help="prototype_distance: centroids (default: as many as classes).",
    ),
]
DropHardest = Annotated[
    float | None,
    typer.Option(
        "--drop-hardest",
        metavar="F",
        help="coverage: the share to drop as suspect, first (default: 0).",
    ),
]
SuspectBy = Annotated[
    str | None,
    typer.Option(
        "--suspect-by",
        metavar="COLUMN",
        help="coverage: what is suspect, such as aum@20 (default: --by).",
    ),
]
Bins = Annotated[
    int | None,
    typer.Option(
        "--bins", metavar="B", help="coverage: bins over the range of the score (default: 50)."
    ),
]
KeepEasy = Annotated[
    bool | None,
    typer.Option(
        "--keep-easy", help="prototypes: the easy end, for little data.", show_default=False
    ),
]
PerClass = Annotated[
    bool | None,
    typer.Option(
        "--per-class/--no-per-class",
        help="Apply the rule inside each class (default: no, but for moderate).",
        show_default=False,
    ),
]
Threshold = Annotated[
    float | None,
    typer.Option(
        "--threshold",
        metavar="F",
        help="difficulty: stop at this training accuracy (default: 0.5).",
    ),
]
Baseline = Annotated[
    str,
    typer.Option("--baseline", help="What to compare with: full,random or one of them, or none."),
]
Budget = Annotated[
    str, typer.Option("--budget", help="steps: as many steps as the full data takes; or epochs.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Say what would be trained, where, in how much memory; stop."),
]
