"""Realistic clearance events, good and broken, for the demo, the tests and the benchmark."""

import json
import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from msgspec import Struct

_FIRST_DATE = datetime(2025, 10, 27, 3, 4, 36, tzinfo=UTC)
_TRANSACTION_EVENTS = 1_000
_TIMEOUT_SECS = 30.0


class SampleEvent(Struct, frozen=True):
    """One record to produce, and what has to become of it.

    Args:
        outcome: `row`, `skipped` or `dead`.
    """

    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    outcome: str


def sample_events(count: int, seed: int = 0) -> Iterator[SampleEvent]:
    """Yield events: of 100 about 90 agree, 5 have a discrepancy, 3 are skipped, 2 are broken.

    The same seed yields the same events.
    """
    source = random.Random(seed)
    for number in range(count):
        yield _sample_event(number, source)


def good_events(count: int, seed: int = 0) -> Iterator[SampleEvent]:
    """Yield events that all become rows."""
    source = random.Random(seed)
    for number in range(count):
        yield _encode(_payload(number, source), source, "row")


def create_topic(config: dict[str, Any], topic: str, partitions: int, replication: int = 1) -> None:
    """Create a topic.

    Args:
        config: librdkafka's settings to reach the cluster.

    Raises:
        KafkaException: Kafka refuses.
    """
    admin = AdminClient({**config, "log_level": 2})
    admin.create_topics([NewTopic(topic, partitions, replication)])[topic].result(_TIMEOUT_SECS)


def produce(config: dict[str, Any], topic: str, events: Iterator[SampleEvent]) -> dict[str, int]:
    """Produce events in Kafka transactions, as the real producer does.

    Args:
        config: librdkafka's settings to reach the cluster.

    Returns:
        How many of each outcome were produced.

    Raises:
        KafkaException: Kafka refuses.
    """
    transaction = {"transactional.id": f"sample-{uuid.uuid4()}"}
    producer = Producer({**config, **transaction, "linger.ms": 20, "log_level": 2})
    producer.init_transactions(_TIMEOUT_SECS)
    outcomes = {"row": 0, "skipped": 0, "dead": 0}
    producer.begin_transaction()
    for number, event in enumerate(events, 1):
        _send(producer, topic, event)
        outcomes[event.outcome] += 1
        if number % _TRANSACTION_EVENTS == 0:
            producer.commit_transaction(_TIMEOUT_SECS)
            producer.begin_transaction()
    producer.commit_transaction(_TIMEOUT_SECS)
    return outcomes


def _send(producer: Producer, topic: str, event: SampleEvent) -> None:
    while True:
        try:
            producer.produce(topic, event.value, key=event.key, headers=list(event.headers))
            return
        except BufferError:
            producer.poll(0.1)


def _sample_event(number: int, source: random.Random) -> SampleEvent:
    payload = _payload(number, source)
    lot = source.randrange(100)
    if lot < 90:
        return _encode(payload, source, "row")
    if lot < 95:
        payload["event_data"]["order"]["amount"] += 1.5
        return _encode(payload, source, "row")
    if lot < 98:
        payload |= {"event_type": "clearance.refund", "event_data": {"anything": True}}
        return _encode(payload, source, "skipped")
    broken = _encode(payload, source, "dead")
    if lot == 98:
        return SampleEvent(broken.key, broken.value[:100], broken.headers, "dead")
    del payload["event_data"]["order"]
    return _encode(payload, source, "dead")


def _payload(number: int, source: random.Random) -> dict[str, Any]:
    order_amount = source.randrange(100, 100_000) / 100
    # The producer adds up binary floats: 150.10000000000002 occurs, and is the same amount.
    amount = order_amount * 1.1 / 1.1
    date = (_FIRST_DATE + timedelta(seconds=number)).isoformat()
    currency = source.choice(["BRL", "BRL", "USD", "EUR"])
    return {
        "event_id": str(number),
        "event_type": "cleareance.order",
        "event_date": date,
        "event_metadata": None,
        "event_data": {
            "id": number,
            "order": {
                "id": number + 1_000_000,
                "type": "ORDER",
                "status": "ORDER:PENDING",
                "currency": currency,
                "amount": order_amount,
            },
            "transaction_id": str(uuid.UUID(int=source.getrandbits(128), version=4)),
            "type": "CREDIT",
            "status": "CLEARANCE:RECEIVED",
            "currency": currency,
            "amount": amount,
            "created_at": date,
            "step_process": [{"name": "CLEARANCE:RECEIVED", "processed_at": date}],
        },
    }


def _encode(payload: dict[str, Any], source: random.Random, outcome: str) -> SampleEvent:
    key = payload["event_data"].get("transaction_id") or str(payload["event_id"])
    trace = f"00-{source.getrandbits(128) | 1:032x}-{source.getrandbits(64) | 1:016x}-01"
    request = str(uuid.UUID(int=source.getrandbits(128), version=4))
    headers = [
        ("traceparent", trace.encode()),
        ("x-request-id", request.encode() if source.random() < 0.9 else b"not-found:from-service"),
    ]
    return SampleEvent(
        key.encode(), json.dumps(payload, separators=(",", ":")).encode(), headers, outcome
    )
