"""Kafka's errors, by what to do about them."""

from confluent_kafka import KafkaError

from transforms.errors import ConfigurationError, JobError, UnavailableError

# The topic was deleted, or made again, or lost a partition: ask for its description.
TOPIC_CHANGED = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.UNKNOWN_TOPIC_ID,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
    }
)
# A retry would be refused too: the job stops and says so.
REFUSED = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)


def job_error(error: KafkaError) -> JobError:
    """Return the exception that stops the job for an error of Kafka's."""
    if error.code() in REFUSED:
        return ConfigurationError(
            "Kafka refuses access: check KAFKA_USER, KAFKA_PASSWORD and the user's rights: "
            + error.str()
        )
    return UnavailableError(f"Kafka does not answer: {error.str()}")
