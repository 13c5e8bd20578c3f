import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from options.settings import Settings
from runners import logs
from runners.logs import RepeatFilter, configure_logs
from transforms.errors import SettingsError


def test_a_line_of_one_kind_passes_once_in_10_s() -> None:
    now = [0.0]
    repeats = RepeatFilter(lambda: now[0])

    def passes(text: str) -> bool:
        return repeats.filter(logging.makeLogRecord({"name": "librdkafka", "msg": text}))

    assert passes("FAIL one")
    assert not passes("FAIL two")
    assert passes("OTHER")
    assert repeats.filter(logging.makeLogRecord({"name": "pipeline.run", "msg": "FAIL"}))
    assert repeats.filter(logging.makeLogRecord({"name": "pipeline.run", "msg": "FAIL"}))
    now[0] = 10.0
    assert passes("FAIL three")


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undo what `configure_logs` does to the whole process."""
    root, raises = logging.getLogger(), logging.raiseExceptions
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.raiseExceptions = raises
    logging.captureWarnings(False)
    for name in list(logging.root.manager.loggerDict):
        logging.getLogger(name).setLevel(logging.NOTSET)


def _settings(**values: object) -> Settings:
    return Settings.model_validate(values)


def test_a_line_has_what_its_extra_says(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(_settings())
    logging.getLogger("a.b").warning("%d things", 3, extra={"error_code": "X", "offset": 7})
    line = json.loads(capsys.readouterr().out)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "WARNING",
        "logger": "a.b",
        "message": "3 things",
        "error_code": "X",
        "offset": 7,
    }


def test_a_traceback_and_a_warning_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logs(_settings())
    try:
        raise LookupError("no")
    except LookupError:
        logging.getLogger("a").exception("failed")
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", stacklevel=1)
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert "LookupError: no" in first["exc_info"]
    assert second["logger"] == "py.warnings"


def test_the_file_gets_the_lines_too_and_is_rotated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_FILE_BYTES", 1000)
    path = tmp_path / "pipeline.log"
    configure_logs(_settings(log_group=str(path)))
    for number in range(100):
        logging.getLogger("a").info("line %d", number)
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 1 + logs._OLD_FILES
    assert max(file.stat().st_size for file in kept) <= 1000
    assert path.read_text().splitlines()[-1] == capsys.readouterr().out.splitlines()[-1]


def test_the_old_services_switch_turns_the_file_off(tmp_path: Path) -> None:
    path = tmp_path / "not-there" / "pipeline.log"
    configure_logs(_settings(log_group=str(path), otel_stdout_log_group="false"))
    assert not path.parent.exists()


def test_a_file_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "not-there" / "pipeline.log"
    with pytest.raises(SettingsError, match=r"--log_group \(LOG_GROUP\): cannot write"):
        configure_logs(_settings(log_group=str(path)))
