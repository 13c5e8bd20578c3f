import pytest

from transforms.kafka_start import start_timestamp_ms


@pytest.mark.parametrize(
    "time",
    ["2025-10-27T03:04:36Z", "2025-10-27t03:04:36.0z", "2025-10-27T00:04:36-03:00"],
)
def test_an_rfc_3339_time_is_exact(time: str) -> None:
    assert start_timestamp_ms(time) == 1_761_534_276_000
