from typing import Any

from apache_beam.metrics import monitoring_infos
from apache_beam.metrics.cells import GaugeData

from runners.direct import merge_infos


def test_counters_add_up_and_gauges_keep_the_newest() -> None:
    merged: dict[frozenset[Any], Any] = {}
    for value in (3, 4, 0):  # a gauge that a bundle does not set is reported as 0 at time 0
        gauge = GaugeData(value, timestamp=value)
        merge_infos(
            merged,
            [
                monitoring_infos.int64_user_counter("n", "counter", value, ptransform="t"),
                monitoring_infos.int64_user_gauge("n", "gauge", gauge, ptransform="t"),
            ],
        )
    assert len(merged) == 2
    results = {
        info.labels["NAME"]: monitoring_infos.extract_metric_result_map_value(info)
        for info in merged.values()
    }
    assert results["counter"] == 7
    assert results["gauge"].value == 4


def test_of_two_gauges_of_one_millisecond_the_later_is_kept() -> None:
    merged: dict[frozenset[Any], Any] = {}
    for value in (3, 4):
        gauge = GaugeData(value, timestamp=1)
        merge_infos(
            merged, [monitoring_infos.int64_user_gauge("n", "gauge", gauge, ptransform="t")]
        )
    [info] = merged.values()
    assert monitoring_infos.extract_metric_result_map_value(info).value == 4
