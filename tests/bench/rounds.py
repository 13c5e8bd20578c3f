"""One timed round of one program, on an empty table."""

import subprocess
import sys
import uuid

from tests.support import Database, clean_environment
from transforms import schema

PIPELINE = "tests.bench.timed_run"


def events_per_sec(
    module: str, environment: dict[str, str], database: Database, events: int
) -> float:
    """Run a module, which prints its seconds, over all events; return its rate."""
    database.query(f"TRUNCATE {schema.ROW_TABLE}")
    database.query("CHECKPOINT")  # what the round before left must not slow this one
    done = subprocess.run(
        [sys.executable, "-m", module],
        env={**clean_environment(), **environment, "KAFKA_GROUP_ID": str(uuid.uuid4())},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert database.count(schema.ROW_TABLE) == events
    return events / float(done.stdout.splitlines()[-1])
