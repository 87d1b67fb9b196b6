"""The command clean: which labels are wrong."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from prune_kit_cli import options as o

if TYPE_CHECKING:
    from prune_kit.cleaning.assessment import LabelAssessment
    from prune_kit.results.removal import Removal
    from prune_kit.results.table import ScoreTable
    from prune_kit_cli.screen import Screen

REVIEWED = 20  # how many to look at where nothing is removed
LOST = 0.5  # of a class: it is named when it loses more


def clean(
    by: Annotated[
        str | None,
        o.option(o.LABELS, "--by", metavar="COLUMN", help="The score column to judge by."),
    ] = None,
    remove: Annotated[
        float | None,
        o.option(
            o.LABELS,
            "--remove",
            metavar="F",
            help="The share that is wrong is known: list as many.",
        ),
    ] = None,
    auto: Annotated[
        bool,
        o.option(
            o.LABELS, "--auto", help="Find how many are wrong (the default without --remove)."
        ),
    ] = False,
    cut: Annotated[
        str | None,
        o.option(
            o.LABELS,
            "--cut",
            metavar="NAME",
            help="How --auto finds it, of `prune-kit list cuts` (default: probes after score "
            "--probes, else argmax).",
        ),
    ] = None,
    per_class: Annotated[
        bool, o.option(o.LABELS, "--per-class", help="Cut within each class of given labels.")
    ] = False,
    holdout: Annotated[
        bool,
        o.option(
            o.LABELS,
            "--holdout",
            help="Judge by networks that never saw the example: the folds of cscore.",
        ),
    ] = False,
    protect_rare: Annotated[
        float,
        o.option(
            o.LABELS,
            "--protect-rare",
            metavar="F",
            help="Name every class that loses more than this share.",
        ),
    ] = LOST,
    evaluate: Annotated[
        bool,
        o.option(
            o.LABELS, "--evaluate", help="Where the true labels are known: how good is the list?"
        ),
    ] = False,
    seed: Annotated[
        int,
        o.option(
            o.LABELS, "--seed", metavar="S", help="The seed of the resamples behind the interval."
        ),
    ] = 0,
    from_probs: Annotated[
        Path | None,
        o.option(
            o.DATA,
            "--from-probs",
            metavar="FILE",
            help="Your own probabilities, a row for each example of the data: npy, npz (the array "
            "pred_probs) or csv.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        o.option(
            o.DATA,
            "--data",
            metavar="SPEC",
            help="With --from-probs and no score table: whose labels these are.",
        ),
    ] = None,
    labels: o.Labels = None,
    key: o.Key = None,
    scores: o.ScoresFile = None,
    out: Annotated[
        Path | None,
        o.option(
            o.OUTPUT, "--out", metavar="FILE", help="Where to write (default: WORKDIR/removal.h5)."
        ),
    ] = None,
    picture: Annotated[
        Path | None,
        o.option(
            o.OUTPUT,
            "--picture",
            metavar="FILE",
            help="With --evaluate, draw the curve: ends in .png or .svg.",
        ),
    ] = None,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
) -> None:
    """List the labels that look wrong, how many there are, and what each should be.

    It reads the score table and trains nothing. Run `score --method cumulative_pl --probes 0.05`
    first: planted labels show where wrong ones fall. That gives the cut, and the share of wrong
    labels with an interval. Without planted labels the cut trusts the network. Only --evaluate
    reads the true labels.

    Example: prune-kit clean --auto
    """
    from prune_kit.cleaning.assessment import assess_labels
    from prune_kit.errors import OptionError
    from prune_kit_cli.views.removal import removal_json, removal_shown
    from prune_kit_cli.views.tables import Screen, path_of
    from prune_kit_cli.workdir import REMOVAL, check_removal_target

    screen = Screen(as_json, quiet)
    target = out or workdir / REMOVAL
    if auto and remove is not None:
        raise OptionError("--auto finds the share, --remove takes a known one; give one of them")
    if not 0 <= protect_rare <= 1:
        raise OptionError(f"--protect-rare {protect_rare:g} is out of range; it is a share, 0 to 1")
    if picture is not None:
        from prune_kit.reporting.figures import comparison

        comparison.check_picture(picture)
        if not evaluate:
            raise OptionError("--picture draws the curve of --evaluate; give both")
    table, probability, said = _table_and_probabilities(
        workdir, scores, from_probs, data, labels, key
    )
    if said:
        screen.warn(said)
    if evaluate and table.rows.true_label is None:
        raise OptionError(
            "--evaluate requires the true labels, and the score table has none. Score the data "
            "with its true labels under --labels FILE, with the noisy ones, such as prune-kit "
            "corrupt writes"
        )
    check_removal_target(target)
    if evaluate and not str(table.rows.options.get("labels_file", "")).endswith(".h5"):
        screen.warn(
            f"the labels of {table.rows.data} are taken for the true ones, those of --labels for "
            "the noisy ones"
        )
    assessment = assess_labels(
        table,
        by=by,
        remove=remove,
        cut=cut,
        per_class=per_class,
        holdout=holdout,
        probability=probability,
        seed=seed,
    )
    removal = assessment.removal()
    removal.write(target)
    values = removal_json(removal)
    shown = removal_shown(removal)
    if evaluate:
        values["evaluation"], tables = _evaluated(assessment, picture)
        shown += ["", *tables]
    screen.result({"file": target, **values}, *shown)
    screen.note(
        "wrote", f"{path_of(target)}, and the list as {path_of(target.with_suffix('.csv'))}"
    )
    if picture is not None:
        screen.note("wrote", path_of(picture))
    _warn(screen, removal, protect_rare, table)
    _next(screen, removal, out, workdir, trained=from_probs is None)


def _table_and_probabilities(
    workdir: Path,
    scores: Path | None,
    from_probs: Path | None,
    data: str | None,
    labels: Path | None,
    key: str | None,
) -> "tuple[ScoreTable, Any, str]":
    """The score table, the probabilities of --from-probs, and what was taken for granted of them.

    With --data or --labels, the table has the rows of that data, and no columns.
    """
    from prune_kit.cleaning.probability_files import read_probabilities
    from prune_kit.data.spec import load_data
    from prune_kit.errors import FileError, OptionError
    from prune_kit.results.table import ScoreTable
    from prune_kit.storage import files
    from prune_kit_cli.workdir import SCORES

    if from_probs is None:
        if data or labels:
            raise OptionError(
                "--data and --labels are for --from-probs; a score table has rows of its own"
            )
        return ScoreTable.read(scores or workdir / SCORES, extras=("probability",)), None, ""
    if not from_probs.is_file():  # which is told before any image is read
        remedy = "Save the probabilities with numpy.save, a row for each example of the data"
        raise FileError(f"--from-probs: {files.absent(from_probs, remedy)}")
    if data or labels:
        table = ScoreTable(load_data(data or "digits", labels=labels, key=key).rows, {})
    else:
        table = ScoreTable.read(scores or workdir / SCORES, extras=False)
    return table, *read_probabilities(from_probs, table.rows)


def _evaluated(
    assessment: "LabelAssessment", picture: Path | None
) -> tuple[dict[str, Any], list[Any]]:
    """Evaluate the list, as JSON values and as tables, and draw the picture."""
    from prune_kit.cleaning.evaluation import evaluate, evaluation_json
    from prune_kit.errors import OptionError
    from prune_kit_cli.views.evaluation import evaluation_shown

    rows, index, estimate = assessment.rows, assessment.index, assessment.estimate
    assert rows.true_label is not None
    evaluation = evaluate(
        suspicion=assessment.suspicion,
        flagged=assessment.flagged,
        label=rows.label[index],
        true_label=rows.true_label[index],
        suggested=assessment.suggested,
        classes=len(rows.class_names),
        noise_rate=(estimate.noise_rate, estimate.low, estimate.high),
    )
    if picture is not None:
        from prune_kit.reporting.figures.evaluation import draw_evaluation

        if not evaluation.wrong:
            raise OptionError(
                "--picture draws how wrong labels are found, and no label is wrong here; leave it "
                "out"
            )
        draw_evaluation(evaluation, picture)
    names = rows.class_names
    return evaluation_json(evaluation, names), evaluation_shown(evaluation, names)


def _warn(screen: "Screen", removal: "Removal", protect_rare: float, table: "ScoreTable") -> None:
    """Print what a user must know before removing anything."""
    names = removal.rows.class_names
    lost = [
        f"{names[c]} ({loss:.0%})"
        for c, loss in enumerate(removal.class_losses())
        if loss > protect_rare
    ]
    if lost:
        more = f" and {len(lost) - 10} more" if len(lost) > 10 else ""
        screen.warn(
            f"classes that lose more than {protect_rare:.0%} of their rows: "
            f"{', '.join(lost[:10])}{more}. They may be rare rather than wrong: review them before "
            "you remove any"
        )
    unclear = int((~removal.clear & (removal.suggested_label >= 0)).sum())
    if unclear:
        screen.warn(
            f"for {unclear:,} of {len(removal.index):,} listed rows no single class has most of "
            "what is left: they may be ambiguous or rare, and --relabel leaves them as they are"
        )
    if removal.cut_method in ("argmax", "joint") and len(table.probes):
        screen.warn(
            f"{removal.cut_method} does not use the planted labels; --cut probes is calibrated by "
            "them"
        )
    elif removal.cut_method == "argmax":
        screen.warn(
            "without planted labels the cut trusts the network, and a weak network disagrees with "
            "right labels, too. For a calibrated cut and an interval: prune-kit score --probes "
            "0.05, in another --workdir"
        )
    if removal.cut_method == "mixture":
        screen.warn(
            "two normal distributions find wrong labels in clean data, too. Review before you "
            "remove"
        )
    if removal.cut_method == "probes" and removal.noise_rate_low == 0:
        screen.warn(
            "hard examples alone could look like this: it is not certain that any label is wrong. "
            "Review before you remove"
        )


def _next(
    screen: "Screen", removal: "Removal", out: Path | None, workdir: Path, *, trained: bool
) -> None:
    from prune_kit_cli.views.tables import path_of
    from prune_kit_cli.workdir import workdir_words

    again = f"{f' --selection {path_of(out)}' if out else ''}{workdir_words(workdir)}"
    if not len(removal.index):
        share = max(REVIEWED / max(len(removal.rows.training), 1), 1e-4)
        again = f"prune-kit clean --remove {share:.2g}{workdir_words(workdir)}"
        screen.note("next", f"{again}   (the most suspect, to review)")
        return
    if trained:
        screen.note(
            "next",
            f"prune-kit retrain{again} --relabel   (is it better without them, or with the "
            "suggestions?)",
        )
    screen.note("" if trained else "next", f"prune-kit export{again} --format txt")
