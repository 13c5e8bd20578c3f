import threading

from runners.sidecar_probe import Health, Probe
from tests.support import wait_until


def test_a_server_that_answers_is_well_and_its_answer_is_kept() -> None:
    probe = Probe("Server", lambda: 7, 0)
    assert probe.health() == Health("Server has not answered yet")
    assert probe.answer == 0
    probe.start()
    wait_until(lambda: probe.health().is_ok, "an answer")
    assert probe.answer == 7
    probe.stop()


def test_a_server_that_fails_says_why() -> None:
    def fail() -> int:
        raise ConnectionError("connection\nrefused")

    probe = Probe("Server", fail, 0)
    probe.start()
    wait_until(lambda: probe.health() == Health("Server: connection refused"), "the reason")
    probe.stop()


def test_a_server_that_accepts_and_never_answers_is_not_well() -> None:
    answers, hang = threading.Event(), threading.Event()

    def ask() -> int:
        if answers.is_set():
            hang.wait(60)
        answers.set()
        return 1

    probe = Probe("Server", ask, 0)
    probe.start()
    wait_until(lambda: probe.health().is_ok, "an answer")
    wait_until(lambda: not probe.health().is_ok, "a fault", timeout_secs=10)
    assert "has not answered for" in str(probe.health().fault)
    probe.stop()
    hang.set()
