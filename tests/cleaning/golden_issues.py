"""Inputs of `find_label_issues`, and what cleanlab 2.9.0 (numpy 2.4.6) answered to them.

Probabilities are ratios of whole numbers, so that every machine makes the same ones. The classes
have from no row to thirteen. Answers are masks, in hexadecimal: row i is the bit of 2**i. They were
printed by

    for args, options in map(golden_input, range(203)):
        rows = cleanlab.filter.find_label_issues(*args, n_jobs=1, **options).nonzero()[0]
        print(format(sum(1 << int(row) for row in rows), "x"))

and those of several labels a row with `multi_label=True`. None depends on how a tie is broken.
"""

import numpy as np

from prune_kit.cleaning.issue_filters import FILTERS, PRUNING

SIZES = (0, 1, 1, 2, 4, 6, 9, 13)


def whole_probabilities(rng, rows, classes, label, scale):
    weight = rng.integers(1, 10_000, (rows, classes))
    weight[np.arange(rows), label] += rng.integers(0, scale, rows)
    return weight / weight.sum(axis=1, keepdims=True)


def golden_options(rng, filter_by, shape):
    options = {"filter_by": filter_by}
    if filter_by in PRUNING:
        kind = rng.integers(0, 5)
        options["min_examples_per_class"] = int(rng.choice([0, 0, 1, 1, 2, 4]))
        if kind == 1:
            options["frac_noise"] = int(rng.integers(0, 100)) / 100
        if kind in (2, 3):  # in half of them a diagonal of noughts
            counts = rng.integers(0, 7, shape)
            options["confident_joint"] = counts + np.eye(shape[-1], dtype=int) * 6 * (kind - 2)
        if kind in (3, 4):
            options["num_to_remove_per_class"] = rng.integers(0, 9, shape[0]).tolist()
    return options


def golden_input(seed):
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 7))
    sizes = rng.choice(SIZES, classes)
    sizes[:2] += 1
    label = rng.permutation(np.repeat(np.arange(classes), sizes))
    probabilities = whole_probabilities(rng, len(label), classes, label, 6_000)
    filter_by = FILTERS[seed % len(FILTERS)]
    return (label, probabilities), golden_options(rng, filter_by, (classes, classes))


def golden_multilabel_input(seed):
    rng = np.random.default_rng(seed)
    classes = int(rng.integers(2, 6))
    applies = rng.integers(0, 2, (24, classes))
    against = rng.integers(1, 10_000, (24, classes))
    favour = rng.integers(1, 10_000, (24, classes)) + applies * rng.integers(0, 15_000)
    labels = [row.nonzero()[0].tolist() for row in applies]
    filter_by = FILTERS[seed % len(FILTERS)]
    options = golden_options(rng, filter_by, (classes, 2, 2))
    return (labels, favour / (favour + against)), options


GOLDENS = """
0 5ca8438 10488 75b00 39ed78068bcefe7 c80cf6 d100a1 800 100c 1e02807 102510040 9 1064000
20c4de188900d 8008 210f50 1042085 b520 364c70 e4ac8 1001 c24 105048 0 2 1e76 65b 0 404b82098b8
4010 a12 1000 8734b 14561087a 0 0 1 1800 13 3cb7ed 1816 8c24ca0e5d 0 200c 99405 78dd50a40 60814
0 0 2c 499570bdfc 144b0218 1bcd1a2 7c8af0 ba 14e0c01089 15 2 b0c7200a 424668 4 fdce6 1662a0c
a4a16b54881 8112005 0 c033544 554e 2c028 10 0 6664ca b840 d84a90c 4212 5a0490 b7c3355 0 12844
2080022 6371 a f010c0a009 120b 42200110 499816 9a2 743ff 2dd8077 84630 22cb 8900 4a00 4400180
300 e59ac 6000c60289 0 8000 1a08043308 0 1c000 435 2aa 400 360330140 10800 28010 41004 754d
142071 a6e2 84 108 331a 1a3e5 96268 1 c2bc10 3585ea25 80 0 2faa ca4 9f30a2510904 f00 1806 18
444818d 684 35b 401 440320 2000 49117a4 5e20a 1f6 3caf92 4a28aa6 2df0ec 108227374c 213800ea 0
20773029 3aa 44 914fdda1 0 280 10 5b37e 3b811debc 4860 3106c024 140 0 359 a26 152b3b2 2436474 4
26288 1402f d82 0 17b4be 319ac 22641d141 0 369690 100e200088 402415 16e424 15e6441 4aa882 c241
20800 180 0 9d8c8c943a38bf 2200 2182070311c 3 448a480012809 9 11b4 0 1 190413a06 2258 12 82c8
1a85b 2216b8a 90ae09c14 4 1813 b904c1bf7f2176 400000548 60308 34 30404 10
""".split()

MULTILABEL_GOLDENS = """
0 3300 158eaf 76d541 ee5efe 90960c 5b5441 0 733068 0 83908c d5b6e3 c924e a283 631359 2883fe 0
8c40e4 ffdec1 cc4fdb 5f57bd 2cc904 28d5bf 10a0 282c85 aef7fb 184101 6800 f6c650 91e59b 132283
200102 df7fe7 15070 fa0685 0 655061 c69a26 e6059d d79d27 24200c 885236 44012 d191ff 0 5e9b4f
f67fb7 ab8007 bf7d87 4624 3b8400 0 dfffed bbfffe ccb375 300820 a04 1a0840 460c e4ad57 cb663a
600406 20a84c a31b6f fefffe 82209 aa0438 bfefdf 800c40 208000
""".split()
