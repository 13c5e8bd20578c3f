"""From the command line to checked settings and Beam's options."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    StandardOptions,
    _BeamArgumentParser,
)
from pydantic import ValidationError

from options.pipeline_options import ReconciliationOptions
from options.settings import Settings, is_secret, variable
from options.workers import WorkerSettings
from transforms.errors import SettingsError

DIRECT_RUNNER = "DirectRunner"


@dataclass(frozen=True)
class Loaded:
    """Everything that the command line, and the sources beside it, ask for.

    Args:
        settings: checked; hold secrets.
        workers: the same for workers, without secrets.
        beam: Beam's own options.
        runner: the value of `--runner`.
        argv: the command line.
    """

    settings: Settings
    workers: WorkerSettings
    beam: PipelineOptions
    runner: str
    argv: tuple[str, ...]


def load(argv: Sequence[str]) -> Loaded:
    """Read all sources and check every setting.

    Beam's own flags pass through. So do flags that nobody here knows, when `--runner` is not
    DirectRunner: they may be the runner's.

    Raises:
        SettingsError: a setting is wrong, or a flag is unknown.
    """
    flags, unknown = _parse(argv)
    secrets = [word for word in unknown if _flag_name(word) in Settings.model_fields]
    if secrets:  # before Beam sees them, and logs them
        raise SettingsError("\n".join(_explain_unknown(secrets)))
    beam = PipelineOptions(list(argv))
    runner = beam.view_as(StandardOptions).runner or DIRECT_RUNNER
    if runner.lower() == DIRECT_RUNNER.lower():  # as Beam takes it
        runner = DIRECT_RUNNER
    if runner == DIRECT_RUNNER:
        if unknown:
            raise SettingsError("\n".join(_explain_unknown(unknown)))
        _check_direct(beam.view_as(DirectOptions))
    settings = load_settings(flags)
    return Loaded(settings, WorkerSettings.of(settings, flags), beam, runner, tuple(argv))


def load_settings(flags: dict[str, Any]) -> Settings:
    """Read the settings from all sources; `flags` win.

    Raises:
        SettingsError: a setting is wrong.
    """
    try:
        return Settings(**flags)
    except UnicodeDecodeError:  # every other source is checked where it is read
        raise SettingsError(".env: not UTF-8") from None
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(dict(each)) for each in error.errors())) from None


def require(settings: Settings, *names: str) -> None:
    """Check that settings without a usable default are set.

    Raises:
        SettingsError: one is empty.
    """
    missing = [name for name in names if not getattr(settings, name)]
    if missing:
        raise SettingsError(
            "\n".join(f"--{name} ({variable(name)}): required, and not set" for name in missing)
        )


def _check_direct(options: DirectOptions) -> None:
    """Refuse Beam's parallel modes: they lose the rest of a splittable DoFn (2.77)."""
    for name, streams in (("direct_num_workers", 1), ("direct_running_mode", "in_memory")):
        value = getattr(options, name)
        if value != streams:
            raise SettingsError(f"--{name}: only {streams} streams, got {value!r}")


class _Parser(_BeamArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise SettingsError(message)


def _parse(argv: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Return the flags of ours that are set, and what neither we nor Beam know."""
    parser = _Parser(allow_abbrev=False, add_help=False)
    for options in dict.fromkeys([ReconciliationOptions, *PipelineOptions.__subclasses__()]):
        options._add_argparse_args(parser)
    values, unknown = parser.parse_known_args(list(argv))
    flags = {
        name: value
        for name, value in vars(values).items()
        if name in Settings.model_fields and value is not None
    }
    return flags, unknown


def _explain(error: dict[str, Any]) -> str:
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    name = str(error["loc"][0])
    if is_secret(name):
        return f"{variable(name)}: {message}"
    return f"--{name} ({variable(name)}): {message}, got {error['input']!r}"


def _explain_unknown(unknown: Sequence[str]) -> list[str]:
    # A word behind an unknown flag is its value, and may be a secret: it is not shown.
    flags = [word.split("=")[0] for word in unknown if word.startswith("-")]
    return [_explain_flag(flag) for flag in flags] or [f"unexpected argument {unknown[0]!r}"]


def _flag_name(word: str) -> str:
    return word.split("=", maxsplit=1)[0].lstrip("-") if word.startswith("-") else ""


def _explain_flag(flag: str) -> str:
    name = _flag_name(flag)
    if name in Settings.model_fields:  # only a secret has no flag
        return (
            f"{flag}: a secret is no flag, the process list would show it; "
            f"set the variable {variable(name)}"
        )
    near = difflib.get_close_matches(name, Settings.model_fields, 1)
    return f"{flag}: unknown flag; " + (f"did you mean --{near[0]}?" if near else "see --help")
