import pytest
from confluent_kafka import TopicPartition

from transforms.kafka_commit import is_of_another_topic


@pytest.mark.parametrize(
    ("metadata", "is_another"),
    [
        ("topic-id:A", False),
        ("topic-id:B", True),
        ("", False),
        (None, False),
        ("what another client wrote", False),
    ],
)
def test_only_our_own_metadata_tells_another_topic(metadata: str | None, is_another: bool) -> None:
    committed = (
        TopicPartition("t", 0, 5)
        if metadata is None
        else TopicPartition("t", 0, 5, metadata=metadata)
    )
    assert is_of_another_topic(committed, "A") is is_another
