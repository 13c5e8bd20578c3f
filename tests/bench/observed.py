"""What it costs to look: scraping once a second, and tracing one event of a hundred.

Each is measured in pairs of rounds, with and without, the order turned in every other pair.
"""

import http.client
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from runners.processes import free_port
from tests.bench.rounds import PIPELINE, events_per_sec
from tests.otlp_receiver import otlp_receiver
from tests.support import Database, Process

_SCRAPE_SECS = 1.0
_SCRAPES = 200
_OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}

Rate = Callable[[], float]


def measure_observed(
    environment: dict[str, str], database: Database, events: int, pairs: int
) -> None:
    """Measure both, and print."""
    port = free_port()
    scraped = environment | {"PORT": str(port)}
    times_ms: list[float] = []

    def plain() -> float:
        return events_per_sec(PIPELINE, environment, database, events)

    def with_scrapes() -> float:
        with _scraper(port, times_ms):
            return events_per_sec(PIPELINE, scraped, database, events)

    _compare("scraped once a second", plain, with_scrapes, pairs, "0.98")
    times_ms.sort()
    print(
        f"scrapes meanwhile: {len(times_ms)}, median {statistics.median(times_ms):.1f} ms, "
        f"max {times_ms[-1]:.1f} ms (goal 50)",
        flush=True,
    )
    with otlp_receiver() as receiver:
        traced = environment | {
            "OTEL_TRACES": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address,
            "OTEL_TRACES_SAMPLER": "traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
        }

        def with_traces() -> float:
            return events_per_sec(PIPELINE, traced, database, events)

        _compare("1 % traced", plain, with_traces, pairs, "0.95")
        print(f"spans received: {len(receiver.spans()):,}", flush=True)


def measure_scrape_cpu(process: Process) -> None:
    """Measure the CPU time that a scrape takes from a pipeline that is idle otherwise."""
    pipeline = psutil.Process(process.popen.pid)
    idle = _cpu_secs(pipeline, lambda: time.sleep(_SCRAPES * 0.02))
    scraping = _cpu_secs(pipeline, lambda: _scrape_often(process))
    per_scrape_ms = (scraping - idle) / _SCRAPES * 1000
    print(
        f"a scrape takes {per_scrape_ms:.1f} ms of CPU: {per_scrape_ms / 10:.2f} % of a core at "
        "one a second (goal 2)",
        flush=True,
    )


def _scrape_often(process: Process) -> None:
    deadline = time.monotonic()
    for _ in range(_SCRAPES):
        assert process.get("/metrics").status == 200
        deadline += 0.02
        time.sleep(max(0.0, deadline - time.monotonic()))


def _cpu_secs(process: psutil.Process, act: Callable[[], None]) -> float:
    before = process.cpu_times()
    act()
    after = process.cpu_times()
    return float(after.user + after.system - before.user - before.system)


def _compare(name: str, plain: Rate, observed: Rate, pairs: int, goal: str) -> None:
    ratios = []
    for number in range(pairs):
        rates = {each: each() for each in ((plain, observed), (observed, plain))[number % 2]}
        ratios.append(rates[observed] / rates[plain])
        print(f"{name}: {rates[observed]:,.0f}/s, ratio {ratios[-1]:.3f}", flush=True)
    print(f"{name}: median ratio {statistics.median(ratios):.3f} (goal {goal})", flush=True)


@contextmanager
def _scraper(port: int, times_ms: list[float]) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=_scrape, args=(port, times_ms, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _scrape(port: int, times_ms: list[float], stop: threading.Event) -> None:
    while not stop.wait(_SCRAPE_SECS):
        started = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/metrics", headers=_OPENMETRICS)
            connection.getresponse().read()
        except ConnectionError:
            continue  # the pipeline is not up yet, or no more
        finally:
            connection.close()
        times_ms.append((time.monotonic() - started) * 1000)
