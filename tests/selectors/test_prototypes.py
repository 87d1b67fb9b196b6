from hypothesis import given
from hypothesis import strategies as st

from prune_kit import pipeline
from tests.small_tables import table_of


@given(
    values=st.lists(st.integers(0, 9), min_size=4, max_size=40),
    keep=st.floats(0.3, 1),
    easy=st.booleans(),
    per_class=st.booleans(),
)
def test_the_hard_end_is_that_of_top_and_the_easy_end_that_of_bottom(values, keep, easy, per_class):
    table = table_of(
        values,
        name="prototype_distance@20",
        label=[0, 1] * (len(values) // 2) + [0] * (len(values) % 2),
    )
    options = {"keep": keep, "per_class": per_class}
    found = pipeline.select(table, rule="prototypes", keep_easy=easy, **options)
    assert (
        found.reason.tolist()
        == pipeline.select(table, rule="bottom" if easy else "top", **options).reason.tolist()
    )


def test_by_default_those_farthest_from_the_prototypes_are_kept():
    table = table_of([0.1, 0.4, 0.2, 0.3], name="prototype_distance@20")
    assert pipeline.select(table, rule="prototypes", keep=0.5).index.tolist() == [1, 3]
    assert pipeline.select(table, rule="prototypes", keep=0.5, keep_easy=True).index.tolist() == [
        0,
        2,
    ]
