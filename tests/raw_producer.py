"""Produces what the Python client cannot: through librdkafka's C interface (rdkafka.h)."""

import ctypes
from pathlib import Path

import confluent_kafka

_PRODUCER = 0  # RD_KAFKA_PRODUCER
_END, _TOPIC, _VALUE, _HEADER = 0, 1, 4, 9  # rd_kafka_vtype_t


def produce_raw_header(brokers: str, topic: str, *, name: bytes) -> None:
    """Produce a record with one header, whose name is these bytes."""
    library = _library()
    error = ctypes.create_string_buffer(512)
    config = library.rd_kafka_conf_new()
    library.rd_kafka_conf_set(config, b"bootstrap.servers", brokers.encode(), error, 512)
    producer = library.rd_kafka_new(_PRODUCER, config, error, 512)
    assert producer, error.value
    try:
        code = library.rd_kafka_producev(
            ctypes.c_void_p(producer),
            *(ctypes.c_int(_TOPIC), ctypes.c_char_p(topic.encode())),
            *(ctypes.c_int(_VALUE), ctypes.c_char_p(b"{}"), ctypes.c_size_t(2)),
            *(ctypes.c_int(_HEADER), ctypes.c_char_p(name), ctypes.c_char_p(b"x")),
            ctypes.c_ssize_t(1),
            ctypes.c_int(_END),
        )
        assert code == 0, code
        assert library.rd_kafka_flush(ctypes.c_void_p(producer), 30_000) == 0
    finally:
        library.rd_kafka_destroy(ctypes.c_void_p(producer))


def _library() -> ctypes.CDLL:
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    [path] = folder.glob("librdkafka*.so*")
    library = ctypes.CDLL(str(path))
    library.rd_kafka_conf_new.restype = ctypes.c_void_p
    library.rd_kafka_conf_set.argtypes = [
        *(ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
    ]
    library.rd_kafka_new.argtypes = [
        *(ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t)
    ]
    library.rd_kafka_new.restype = ctypes.c_void_p
    return library
