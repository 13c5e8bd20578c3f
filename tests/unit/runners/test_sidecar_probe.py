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
    now, asked, goes_on = [0.0], threading.Event(), threading.Event()

    def ask() -> int:
        if asked.is_set():
            goes_on.wait(60)
        asked.set()
        return 1

    probe = Probe("Server", ask, 0, lambda: now[0])
    probe.start()
    wait_until(lambda: probe.health().is_ok, "an answer")
    now[0] = 3.0
    assert probe.health().is_ok
    now[0] = 4.0
    assert probe.health() == Health("Server has not answered for 4 s")
    probe.stop()
    goes_on.set()
