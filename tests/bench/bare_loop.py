"""The floor: consume, orjson, COPY, with none of the pipeline's guarantees."""

import io
import os
import time
from typing import Any

import orjson
import psycopg2
from confluent_kafka import Consumer, TopicPartition

from transforms.copy_text import ROW_COLUMNS

_BATCH = 5_000
_TIME = "2026-01-01 00:00:00+00"  # not even the record's time: a floor does no work


def main() -> None:
    """Print the seconds from the first poll to the last commit."""
    topic, events = os.environ["TOPIC_EVENT"], int(os.environ["BENCH_EVENTS"])
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ["KAFKA_BROKER_1"],
            "group.id": "bare-loop",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    partitions = consumer.list_topics(topic, 10).topics[topic].partitions
    connection = psycopg2.connect(
        host=os.environ["DB_HOST"],
        port=os.environ["DB_PORT"],
        user=os.environ["DB_USER"],
        password=os.environ["DB_PASSWORD"],
        dbname=os.environ["DB_NAME"],
    )
    copy = f"COPY order_clearance_reconciliacion ({', '.join(ROW_COLUMNS)}) FROM STDIN"
    started = time.monotonic()
    consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])
    read, lines = 0, []
    while read < events:
        messages = consumer.consume(_BATCH, 0.5)
        read += len(messages)
        lines += [_line(message) for message in messages]
        if len(lines) >= _BATCH or read >= events:
            with connection, connection.cursor() as cursor:
                cursor.copy_expert(copy, io.StringIO("".join(lines)), 1 << 20)
            lines.clear()
    print(time.monotonic() - started)


def _line(message: Any) -> str:
    payment = orjson.loads(message.value())["event_data"]
    order = payment["order"]
    return (
        f"{payment['transaction_id']}\tORDER\tRECONCILIATION:RECEIVED\t{payment['currency']}"
        f"\t{payment['amount'] - order['amount']}\t{payment['id']}\t{payment['status']}"
        f"\t{payment['currency']}\t{payment['amount']}\t{order['id']}\t{order['status']}"
        f"\t{order['currency']}\t{order['amount']}\t{message.topic()}\t{message.partition()}"
        f"\t{message.offset()}\t{_TIME}\t\\N\t{_TIME}\n"
    )


if __name__ == "__main__":
    main()
