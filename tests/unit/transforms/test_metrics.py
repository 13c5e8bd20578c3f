import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.metric_names import BUCKETS_MS, METRICS
from transforms.metrics import histogram


@given(st.lists(st.integers(0, 2 * BUCKETS_MS[-1])))
def test_every_value_is_in_the_first_bucket_that_holds_it(values: list[int]) -> None:
    found = histogram(values)
    expected: dict[str, int] = {}
    for value in values:
        bucket = next((str(bound) for bound in BUCKETS_MS if value <= bound), "inf")
        expected[bucket] = expected.get(bucket, 0) + 1
    assert found.counts == expected
    assert found.sum == sum(values)


def test_bounds_rise() -> None:
    assert list(BUCKETS_MS) == sorted(set(BUCKETS_MS))


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_can_be_told_from_their_labels(metric: object) -> None:
    """The collector splits a name at its first dot."""
    assert "." not in getattr(metric, "name", ".")
