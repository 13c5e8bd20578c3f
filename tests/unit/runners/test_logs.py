import logging

from runners.logs import RepeatFilter


def test_a_line_of_one_kind_passes_once_in_10_s() -> None:
    now = [0.0]
    repeats = RepeatFilter(lambda: now[0])

    def passes(text: str) -> bool:
        return repeats.filter(logging.makeLogRecord({"name": "librdkafka", "msg": text}))

    assert passes("FAIL one")
    assert not passes("FAIL two")
    assert passes("OTHER")
    assert repeats.filter(logging.makeLogRecord({"name": "pipeline.run", "msg": "FAIL"}))
    assert repeats.filter(logging.makeLogRecord({"name": "pipeline.run", "msg": "FAIL"}))
    now[0] = 10.0
    assert passes("FAIL three")
