import pytest
from confluent_kafka import KafkaError, KafkaException

from pipeline import check


def test_a_refusal_is_a_fault_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_admin: object, _group: str) -> int:
        raise KafkaException(KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED))

    monkeypatch.setattr(check, "_group_members", refuse)
    assert "not readable" in (check._group_fault(None, "g") or "")  # type: ignore[arg-type]


def test_a_check_is_one_line() -> None:
    assert str(check.Check("name")) == "ok    name"
    assert str(check.Check("name", "fault")) == "FAIL  name: fault"
