"""The page for an operator, in a real browser, over the real pipeline."""

import shutil
import socket
from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By

from runners.processes import free_port
from tests.support import Kafka, Process, Start, sample, wait_until

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",  # CI runs as root, where the sandbox does not start
    "--disable-dev-shm-usage",  # a container's /dev/shm has 64 MB
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,900",
)
_PHONE_WIDTH = 360
_PAYLOAD = "a-payload-that-nobody-may-see"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    """A browser without a window, with a profile of its own."""
    binary = next(filter(None, map(shutil.which, _BROWSERS)), None)
    driver = shutil.which("chromedriver")
    if binary is None or driver is None:
        pytest.fail("no chromium or no chromedriver here: apt-get install chromium chromium-driver")
    options = ChromeOptions()
    options.binary_location = binary
    for flag in (*_FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('browser')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = Chrome(options=options, service=Service(driver))
    yield chrome
    chrome.quit()


def _text(browser: Chrome, element_id: str) -> str:
    return browser.find_element(By.ID, element_id).text


def _is_shown(browser: Chrome, element_id: str) -> bool:
    return browser.find_element(By.ID, element_id).is_displayed()


def _wait_for_text(browser: Chrome, element_id: str, text: str) -> None:
    wait_until(lambda: _text(browser, element_id) == text, f"#{element_id} is {text!r}")


def _listens(port: int, process: Process) -> bool:
    assert process.popen.poll() is None, process.output
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def _open(browser: Chrome, port: int, process: Process) -> None:
    """Open the page, and forget what the page before has left in the console."""
    wait_until(lambda: _listens(port, process), f"port {port} is open")
    browser.get("about:blank")
    browser.get_log("browser")
    browser.get(f"http://127.0.0.1:{port}/")


def _settings(environment: dict[str, str], topic: str, port: int) -> dict[str, str]:
    return environment | {"TOPIC_EVENT": topic, "PORT": str(port)}


def test_the_counts_move_while_events_flow(
    kafka: Kafka, environment: dict[str, str], start: Start, browser: Chrome
) -> None:
    topic, port = kafka.create_topic(), free_port()
    _open(browser, port, start(_settings(environment, topic, port)))
    broken = f'{{"event_id": "{_PAYLOAD}", '.encode()
    kafka.produce(topic, [sample("payment_ok")] * 5 + [sample("other_type"), broken])
    _wait_for_text(browser, "count-read", "7")
    kafka.produce(topic, [sample("payment_ok")] * 1_000)
    _wait_for_text(browser, "count-read", "1,007")
    _wait_for_text(browser, "count-written", "1,005")
    _wait_for_text(browser, "count-write", "1,006")
    _wait_for_text(browser, "count-skipped", "1")
    _wait_for_text(browser, "count-duplicate", "0")
    _wait_for_text(browser, "count-dead", "1")
    _wait_for_text(browser, "state", "Running")
    _wait_for_text(browser, "kafka-state", "OK")
    _wait_for_text(browser, "postgres-state", "OK")
    _wait_for_text(browser, "lag", "0")
    wait_until(lambda: _text(browser, "last-commit").endswith(" ago"), "the last commit")
    wait_until(lambda: topic in _text(browser, "partitions"), "the partition")
    wait_until(lambda: "NOT_JSON" in _text(browser, "dead-letters"), "the code")
    wait_until(lambda: f"{topic}, partition 0" in _text(browser, "newest-dead-letters"), "where")
    assert browser.title.startswith("Running")
    assert _PAYLOAD not in browser.page_source
    assert browser.get_log("browser") == []


def test_the_page_says_so_when_the_pipeline_is_gone_and_when_it_is_back(
    kafka: Kafka, environment: dict[str, str], start: Start, browser: Chrome
) -> None:
    topic, port = kafka.create_topic(), free_port()
    settings = _settings(environment, topic, port)
    process = start(settings)
    _open(browser, port, process)
    _wait_for_text(browser, "state", "Running")
    assert not _is_shown(browser, "gone")
    process.kill()
    wait_until(lambda: _is_shown(browser, "gone"), "the page says that the pipeline is gone")
    assert "The pipeline does not answer" in _text(browser, "gone")
    assert browser.title.startswith("No answer")
    start(settings)
    wait_until(lambda: not _is_shown(browser, "gone"), "the page says that it is back")
    _wait_for_text(browser, "state", "Running")


@pytest.mark.parametrize("scheme", ["dark", "light"])
def test_the_page_fits_a_phone(
    scheme: str, kafka: Kafka, environment: dict[str, str], start: Start, browser: Chrome
) -> None:
    topic, port = kafka.create_topic(3), free_port()
    kafka.produce(topic, [sample("payment_ok"), sample("other_type"), sample("truncated")])
    phone = {"width": _PHONE_WIDTH, "height": 740, "deviceScaleFactor": 2, "mobile": False}
    colours = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", colours)
    try:
        _open(browser, port, start(_settings(environment, topic, port)))
        _wait_for_text(browser, "count-read", "3")
        wait_until(lambda: topic in _text(browser, "newest-dead-letters"), "the dead letter")
        wait_until(lambda: topic in _text(browser, "partitions"), "the partitions")
        width = browser.execute_script("return document.documentElement.scrollWidth")
        assert width <= browser.execute_script("return innerWidth") == _PHONE_WIDTH
        ground = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
        red = int(ground.removeprefix("rgb(").split(",")[0])
        assert (red < 128) == (scheme == "dark"), ground
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
