from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from transforms.errors import ConfigurationError, UnavailableError
from transforms.kafka_errors import ask_coordinator, job_error


def _asks(*answers: Any) -> Any:
    left = list(answers)

    def ask() -> Any:
        answer = left.pop(0)
        if isinstance(answer, int):
            raise KafkaException(KafkaError(answer))
        return answer

    return ask


@pytest.mark.parametrize(
    "code", [KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR]
)
def test_a_coordinator_that_moves_is_asked_again(code: int) -> None:
    assert ask_coordinator(_asks(code, code, "answer"), timeout_secs=60) == "answer"


def test_a_coordinator_that_never_settles_is_an_error() -> None:
    with pytest.raises(KafkaException):
        ask_coordinator(_asks(KafkaError.NOT_COORDINATOR), timeout_secs=0)


def test_a_refusal_is_not_asked_again() -> None:
    with pytest.raises(KafkaException):
        ask_coordinator(_asks(KafkaError.GROUP_AUTHORIZATION_FAILED), timeout_secs=60)


def test_a_refusal_is_the_users_to_change_and_silence_is_an_outage() -> None:
    refusal = job_error(KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    assert isinstance(refusal, ConfigurationError)
    assert "KAFKA_USER" in str(refusal)
    assert isinstance(job_error(KafkaError(KafkaError._TIMED_OUT)), UnavailableError)
