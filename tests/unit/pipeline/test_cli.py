import pytest

from options.settings import Settings, is_secret
from pipeline import cli
from pipeline.cli import main


def test_help_names_every_command_and_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    for command in ("run", "migrate", "check", "demo"):
        assert f"\n  {command} " in text
    for name in Settings.model_fields:
        assert (f"--{name}" in text) is not is_secret(name)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["rnu"], "error: unknown command 'rnu'"),
        ([], "error: --kafka_broker_1 (KAFKA_BROKER_1): required"),
        (["run", "--db_port=x"], "error: --db_port (DB_PORT)"),
        (["migrate"], "error: --db_host (DB_HOST): required"),
        (["check"], "error: --kafka_broker_1 (KAFKA_BROKER_1): required"),
    ],
)
def test_a_wrong_setting_exits_2_without_a_traceback(
    argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error


def test_an_interrupt_before_the_run_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli._COMMANDS, "run", interrupt)
    assert main([]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_a_fault_of_ours_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(_: object) -> int:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setitem(cli._COMMANDS, "run", fail)
    assert main([]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "unexpected ZeroDivisionError: division by zero" in line
