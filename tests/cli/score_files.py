"""Small score tables and published files that belong together, and some that do not."""

from dataclasses import replace

import numpy as np

from prune_kit.data.identity import HELD_OUT
from prune_kit.results.table import ScoreTable
from tests.small_tables import column_of, rows_of

N, R, HELD = 60, 6, 6


def small_table(seed=0):
    """Two scores that agree, written in opposite directions, one of few values, a companion.

    The last rows held out.
    """
    chance = np.random.default_rng(seed)
    truth = chance.normal(size=N)
    runs = np.float32(truth + 0.2 * chance.normal(size=(R, N)))
    runs[:, -HELD:] = np.nan
    values = runs.mean(axis=0)
    folds = -values.copy()
    folds[:2] = np.nan
    counts = np.where(np.isnan(values), np.nan, np.maximum(np.round(values), 0))
    columns = [
        column_of(values, extras={"per_run": runs}, seeds=tuple(range(R))),
        column_of(
            folds, name="cscore", harder="lower", extras={"votes": np.arange(N, dtype=np.int32)}
        ),
        column_of(counts, name="forgetting@20"),
        column_of(
            np.where(np.isnan(values), np.nan, chance.normal(size=N)),
            name="input_norm",
            companion=True,
        ),
    ]
    role = np.where(np.arange(N) < N - HELD, 0, HELD_OUT)
    rows = rows_of(chance.integers(0, 3, N), role=role, class_names=("a", "b", "c"))
    return ScoreTable(rows, {column.name: column for column in columns})


def taken(table, rows):
    """The table of some of its rows, in their order."""
    part = {name: getattr(table.rows, name)[rows] for name in ("id", "digest", "label", "role")}
    columns = {
        name: replace(
            c, values=c.values[rows], extras={k: v[..., rows] for k, v in c.extras.items()}
        )
        for name, c in table.columns.items()
    }
    return ScoreTable(replace(table.rows, **part), columns)


def write_files(folder):
    """Tables of the same rows, of relabelled, fewer, turned and other ones, and published scores
    right and wrong."""
    table = small_table()
    table.write(folder / "scores.h5")
    table.write(folder / "a:b.h5")
    replace(table, columns={"el2n@20": table.columns["el2n@20"]}).write(folder / "single.h5")
    replace(table, columns={"cscore": table.columns["cscore"]}).write(folder / "bare.h5")
    one_run = column_of(
        table.columns["el2n@20"].values, extras={"per_run": table.columns["el2n@20"].values[None]}
    )
    replace(table, columns={"el2n@20": one_run}).write(folder / "bare_run.h5")
    replace(table, columns={}).write(folder / "none.h5")
    truth = table.rows.label
    labels = np.where(np.arange(N) % 10 == 3, (truth + 1) % 3, truth)
    replace(table, rows=table.rows.relabelled(labels, truth)).write(folder / "noisy.h5")
    taken(table, np.random.default_rng(0).permutation(N)[:40]).write(folder / "part.h5")
    taken(table, np.arange(N)[::-1]).write(folder / "turned.h5")
    other = small_table(1)
    replace(other, rows=replace(other.rows, digest=other.rows.digest + np.uint64(10_000))).write(
        folder / "other.h5"
    )
    published = np.where(
        np.isnan(table.columns["cscore"].values), 0, table.columns["cscore"].values
    )
    np.savez(folder / "published.npz", scores=published, labels=truth)
    np.savez(folder / "wrong.npz", scores=published, labels=labels)
    np.save(folder / "published.npy", published)
    (folder / "published.csv").write_text(
        "index,score\n" + "".join(f"{i},{published[i]}\n" for i in range(0, N, 2))
    )
