"""The settings: their names, defaults, units and checks. Frozen once read."""

import re
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from options.sources import settings_sources

_BROKER = re.compile(r"(\[[0-9a-fA-F:]+\]|[^\s:,/]+):\d{1,5}")
_ENDPOINT = re.compile(r"(https?://)?(\[[0-9a-fA-F:]+\]|[^\s:,/@]+)(:\d{1,5})?/?")
_TOPIC = re.compile(r"[a-zA-Z0-9._-]{1,249}")
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")


class Protocol(StrEnum):
    """librdkafka's `security.protocol`."""

    PLAINTEXT = "PLAINTEXT"
    SSL = "SSL"
    SASL_PLAINTEXT = "SASL_PLAINTEXT"
    SASL_SSL = "SASL_SSL"


class Mechanism(StrEnum):
    """librdkafka's `sasl.mechanism`: those that take a user and a password."""

    PLAIN = "PLAIN"
    SCRAM_SHA_256 = "SCRAM-SHA-256"
    SCRAM_SHA_512 = "SCRAM-SHA-512"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class TraceSampler(StrEnum):
    """The samplers of OpenTelemetry's `OTEL_TRACES_SAMPLER`."""

    ALWAYS_ON = "always_on"
    ALWAYS_OFF = "always_off"
    TRACEIDRATIO = "traceidratio"
    PARENTBASED_ALWAYS_ON = "parentbased_always_on"
    PARENTBASED_ALWAYS_OFF = "parentbased_always_off"
    PARENTBASED_TRACEIDRATIO = "parentbased_traceidratio"


class Settings(BaseSettings):
    """Everything that a user can set.

    Sources, the first wins: flags, environment, `.env`, the YAML file of `--config`, and for
    user and password of the database the files `username` and `password` in the secret folder.
    A field's name is the flag; in upper case it is the variable.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        env_file=".env",
        env_ignore_empty=True,
        hide_input_in_errors=True,
    )

    app_name: str = Field("clearance-reconciliation", description="name in the start line")
    account: str = Field("", description="account in the start line")
    version: str = Field("", description="version of the deployment, in the start line")
    env: str = Field("dev", description="environment in the start line")

    kafka_broker_1: str = Field("", description="Kafka broker, HOST:PORT")
    kafka_broker_2: str = Field("", description="another broker, HOST:PORT")
    kafka_broker_3: str = Field("", description="another broker, HOST:PORT")
    kafka_protocol: Protocol = Field(
        Protocol.PLAINTEXT, description="PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL"
    )
    kafka_mechanism: Mechanism = Field(
        Mechanism.PLAIN, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
    )
    kafka_user: str = Field("", description="SASL user")
    kafka_password: SecretStr = Field(SecretStr(""), description="SASL password")
    kafka_client_id: str = Field(
        "clearance-reconciliation", description="client id that Kafka's logs and quotas see"
    )
    kafka_group_id: str = Field(
        "clearance-reconciliation", description="consumer group that keeps the offsets"
    )
    kafka_partition: int = Field(3, ge=1, description="partitions of a topic that the demo creates")
    kafka_replication: int = Field(1, ge=1, description="replicas of a topic that the demo creates")
    topic_event: Annotated[tuple[str, ...], NoDecode] = Field(
        ("topic.clearance",),
        description="topic, or several separated by commas; also TOPIC_EVENT_00, _01, ...",
    )

    db_host: str = Field("", description="PostgreSQL host, or the folder of its socket")
    db_port: int = Field(5432, ge=1, le=65535, description="PostgreSQL port")
    db_name: str = Field("postgres", description="database")
    db_user: str = Field("", description="database user; also the file 'username'")
    db_password: SecretStr = Field(
        SecretStr(""), description="database password; also the file 'password'"
    )
    ctx_timeout: float = Field(
        30, gt=0, le=3600, description="seconds that one statement, or connecting, may take"
    )

    start: str = Field(
        "earliest",
        description="where to read a partition that the group has no offset for: "
        "earliest, latest, or a time like 2025-10-27T03:04:36Z",
    )
    until_end: bool = Field(
        False, description="read to the offsets that are the end at the start, then exit"
    )
    migrate: bool = Field(False, description="create or upgrade the tables first")
    batch_rows: int = Field(10_000, ge=1, le=100_000, description="rows in one write")
    batch_bytes: int = Field(
        32 << 20, ge=1 << 10, le=1 << 30, description="bytes in one write, about"
    )
    port: int = Field(
        7007, ge=0, le=65535, description="port of the page, /metrics and /ready; 0 for a free one"
    )
    sidecar_host: str = Field(
        "127.0.0.1", min_length=1, description="address that the port is opened on"
    )

    log_level: LogLevel = Field(LogLevel.INFO, description="debug, info, warning or error")
    log_group: str = Field("", description="file that gets the log lines too, rotated")
    otel_stdout_log_group: bool = Field(True, description="false: no lines to LOG_GROUP")
    otel_exporter_otlp_endpoint: str = Field(
        "localhost:4317", description="OTLP receiver, gRPC: HOST:PORT, http://... or https://..."
    )
    otel_traces: bool = Field(False, description="send traces by OTLP")
    otel_stdout_tracer: bool = Field(False, description="print spans to stdout, a line each")
    otel_traces_sampler: TraceSampler = Field(
        TraceSampler.PARENTBASED_ALWAYS_ON,
        description="always_on, always_off, traceidratio, or one of these with parentbased_",
    )
    otel_traces_sampler_arg: float = Field(
        1.0, ge=0, le=1, description="share of traces that a traceidratio sampler takes"
    )
    otel_metrics: bool = Field(False, description="send the metrics of /metrics by OTLP too")
    otel_logs: bool = Field(False, description="send the log lines by OTLP too")

    secret_dir: str = Field(
        "/var/pod/secret", description="folder with the files 'username' and 'password'"
    )
    config: str = Field("", description="YAML file with settings by these names")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return settings_sources(settings_cls, init_settings, env_settings, dotenv_settings)

    @field_validator("kafka_broker_1", "kafka_broker_2", "kafka_broker_3")
    @classmethod
    def _check_broker(cls, value: str) -> str:
        if value and not _BROKER.fullmatch(value):
            raise ValueError("expected HOST:PORT")
        return value

    @field_validator("otel_exporter_otlp_endpoint")
    @classmethod
    def _check_endpoint(cls, value: str) -> str:
        if not _ENDPOINT.fullmatch(value):
            raise ValueError("expected HOST:PORT, or http:// or https:// before it")
        return value

    @field_validator("topic_event", mode="before")
    @classmethod
    def _split_topics(cls, value: Any) -> Any:
        parts = value.split(",") if isinstance(value, str) else value
        if not isinstance(parts, list | tuple):
            raise ValueError("expected topic names separated by commas")
        topics = tuple(dict.fromkeys(str(part).strip() for part in parts))
        for topic in topics:
            if not _TOPIC.fullmatch(topic):
                raise ValueError("a topic's name has 1 to 249 of a-z A-Z 0-9 . _ -")
        return topics

    @field_validator("kafka_protocol", "kafka_mechanism", mode="before")
    @classmethod
    def _upper(cls, value: Any) -> Any:
        return value.upper() if isinstance(value, str) else value

    @field_validator("log_level", "otel_traces_sampler", mode="before")
    @classmethod
    def _lower(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("start")
    @classmethod
    def _check_start(cls, value: str) -> str:
        if value in ("earliest", "latest"):
            return value
        if not _RFC_3339.fullmatch(value):
            raise ValueError("expected earliest, latest, or a time like 2025-10-27T03:04:36Z")
        datetime.fromisoformat(value.upper())  # ValueError: month 13, and the like
        return value

    @model_validator(mode="after")
    def _check_sasl(self) -> Self:
        if self.kafka_protocol.startswith("SASL") and not (
            self.kafka_user and self.kafka_password.get_secret_value()
        ):
            raise ValueError(
                f"KAFKA_PROTOCOL {self.kafka_protocol} needs KAFKA_USER and KAFKA_PASSWORD"
            )
        return self

    @property
    def brokers(self) -> str:
        """The bootstrap servers, separated by commas."""
        return ",".join(
            filter(None, (self.kafka_broker_1, self.kafka_broker_2, self.kafka_broker_3))
        )

    def kafka(self) -> dict[str, Any]:
        """Return librdkafka's settings to reach the cluster. Holds a secret."""
        config: dict[str, Any] = {
            "bootstrap.servers": self.brokers,
            "client.id": self.kafka_client_id,
            "security.protocol": self.kafka_protocol.value,
        }
        if self.kafka_protocol.startswith("SASL"):
            config |= {
                "sasl.mechanism": self.kafka_mechanism.value,
                "sasl.username": self.kafka_user,
                "sasl.password": self.kafka_password.get_secret_value(),
            }
        return config

    def postgres(self) -> dict[str, Any]:
        """Return psycopg2's arguments to connect. Holds a secret."""
        arguments = {
            "host": self.db_host,
            "port": self.db_port,
            "dbname": self.db_name,
            "user": self.db_user or None,
            "password": self.db_password.get_secret_value() or None,
            "connect_timeout": max(2, round(self.ctx_timeout)),  # libpq's shortest is 2 s
            "application_name": self.app_name,
        }
        return {name: value for name, value in arguments.items() if value is not None}


def is_secret(name: str) -> bool:
    """Return whether a setting's value must never be shown."""
    return Settings.model_fields[name].annotation is SecretStr


def variable(name: str) -> str:
    """Return the environment variable of a setting."""
    return name.upper()
