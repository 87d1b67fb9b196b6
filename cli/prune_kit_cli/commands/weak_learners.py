"""The command weak-learners: what simple models find easy."""

from typing import Annotated

from prune_kit_cli import options as o

LEARNERS = "Learners"


def weak_learners(
    by: o.By = None,
    learners: Annotated[
        str | None,
        o.option(
            LEARNERS,
            "--learners",
            metavar="LIST",
            help="Of adaboost, svm, knn, perceptron, tree, forest, naive_bayes (default: all).",
        ),
    ] = None,
    stages: Annotated[
        str | None,
        o.option(
            LEARNERS,
            "--stages",
            metavar="LIST",
            help="Numbers of classifiers in AdaBoost (default: 1,2,5,10,20,50).",
        ),
    ] = None,
    rows: Annotated[
        int,
        o.option(LEARNERS, "--rows", metavar="N", help="Fit on, and judge on, at most so many."),
    ] = 5000,
    seed: Annotated[
        int,
        o.option(LEARNERS, "--seed", metavar="S", help="Draws the rows, and seeds the learners."),
    ] = 0,
    scores: o.ScoresFile = None,
    data: o.DataAgain = None,
    trust: o.Trust = False,
    as_json: o.AsJson = False,
    quiet: o.Quiet = False,
    workdir: o.WorkDir = o.DEFAULT_WORKDIR,
) -> None:
    """Do classifiers that know little know what networks learn first?

    Fits them on the pixels of training rows, and gives their accuracy on the easy, the middle and
    the hard third of the test examples by a score (default: the latest learning_speed, else
    consistency), or of other training rows where the score has no test examples; and how AdaBoost's
    order of learning goes with the networks'.

    Example: prune-kit weak-learners --learners adaboost,knn
    """
    from prune_kit.comparison.weak_learners import STAGES, weak_learner_report
    from prune_kit.results.table import ScoreTable
    from prune_kit_cli.loading import loaded_again
    from prune_kit_cli.parsing import numbers
    from prune_kit_cli.views.dynamics import learners_json, learners_shown
    from prune_kit_cli.views.tables import Screen
    from prune_kit_cli.workdir import SCORES

    screen = Screen(as_json, quiet)
    table = ScoreTable.read(scores or workdir / SCORES)
    with screen.progress() as follow:
        loaded = loaded_again(screen, workdir, table.rows, data, trust=trust, progress=follow)
    report = weak_learner_report(
        loaded,
        table,
        by=by,
        learners=learners.split(",") if learners else None,
        stages=numbers([stages] if stages else None, "--stages") or STAGES,
        rows=rows,
        seed=seed,
    )
    screen.note(
        "fitted", f"on {report.fitted:,} training rows; judged on {report.judged:,} {report.where}"
    )
    if report.tied > 1 / 3:
        screen.warn(
            f"{report.tied:.0%} of them have the same {report.by}, so chance decides which of "
            "these are in which third"
        )
    screen.result(learners_json(report), *learners_shown(report))
