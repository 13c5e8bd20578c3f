"""The command line: `python -m pipeline [run|migrate|check|demo] [flags]`."""

import argparse
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence

from options.load import Loaded, load, require
from options.pipeline_options import ReconciliationOptions
from pipeline.check import run_checks
from pipeline.demo import demo
from pipeline.run import migrate, run
from runners.logs import configure_logs
from transforms.errors import JobError, SettingsError, StopTimeoutError

_LOGGER = logging.getLogger(__name__)

EXIT_OK, EXIT_FAILED = 0, 1
EXIT_INTERRUPTED = 128 + signal.SIGINT

_KAFKA = ("kafka_broker_1",)
_POSTGRES = ("db_host",)

_DESCRIPTION = """\
Turns every payment clearance on a Kafka topic into one row in PostgreSQL, exactly once in effect.

commands:
  run       read, reconcile and write until told to stop (the default)
  migrate   create the tables, or upgrade those of the old service; safe to repeat
  check     look whether Kafka, PostgreSQL, tables and rights are as needed
  demo      run over sample events, on a local Kafka and PostgreSQL if none are set
"""
_EPILOG = """\
Each setting is a flag, an environment variable (its name in capitals), a line in .env, or a key in
the YAML file of --config; the first of these wins. Passwords are no flags: set DB_PASSWORD and
KAFKA_PASSWORD, or the files 'username' and 'password' in --secret_dir for the database.

--runner names a Beam runner; the default, DirectRunner, streams on this machine. Beam's own flags
go with it.

exit codes: 0 done or stopped, 1 failed, 2 a setting is wrong, 3 a server refuses, 4 a server stayed
away, 130 interrupted before it ran
"""


def main(argv: Sequence[str]) -> int:
    """Run one command; return the exit code. No error shows a traceback."""
    command, flags = _split(argv)
    if command not in _COMMANDS:
        message = f"unknown command {command!r}: {', '.join(_COMMANDS)}"
        return _fail(SettingsError.exit_code, message)
    if {"-h", "--help"} & set(flags):
        _print_help()
        return EXIT_OK
    return _execute(command, flags)


def _execute(command: str, flags: Sequence[str]) -> int:
    try:
        loaded = load(flags)
        configure_logs(loaded.settings)
        return _COMMANDS[command](loaded)
    except StopTimeoutError as error:
        _fail(error.exit_code, str(error))
        sys.stdout.flush()
        os._exit(error.exit_code)  # a thread waits for a server: nothing else ends it
    except JobError as error:
        return _fail(error.exit_code, str(error))
    except KeyboardInterrupt:  # before the pipeline ran: nothing to finish
        return _fail(EXIT_INTERRUPTED, "interrupted")
    except Exception as error:
        _LOGGER.debug("unexpected", exc_info=True)
        return _fail(
            EXIT_FAILED,
            f"unexpected {type(error).__name__}: {error}; nothing is lost, the next start goes on. "
            "--log_level=debug shows where",
        )


def _split(argv: Sequence[str]) -> tuple[str, list[str]]:
    if argv and not argv[0].startswith("-"):
        return argv[0], list(argv[1:])
    return "run", list(argv)


def _run(loaded: Loaded) -> int:
    require(loaded.settings, *_KAFKA, *_POSTGRES)
    run(loaded)
    return EXIT_OK


def _migrate(loaded: Loaded) -> int:
    require(loaded.settings, *_POSTGRES)
    print("tables created or upgraded" if migrate(loaded.settings) else "tables are as needed")
    return EXIT_OK


def _check(loaded: Loaded) -> int:
    require(loaded.settings, *_KAFKA, *_POSTGRES)
    is_ok = True
    for check in run_checks(loaded.settings):
        print(check, flush=True)
        is_ok = is_ok and check.fault is None
    return EXIT_OK if is_ok else EXIT_FAILED


_COMMANDS: dict[str, Callable[[Loaded], int]] = {
    "run": _run,
    "migrate": _migrate,
    "check": _check,
    "demo": demo,
}


def _print_help() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline",
        usage="python -m pipeline [run|migrate|check|demo] [flags]",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    ReconciliationOptions._add_argparse_args(parser)
    parser.print_help()


def _fail(code: int, message: str) -> int:
    for line in message.splitlines():
        print(f"error: {line}", file=sys.stderr)
    return code
