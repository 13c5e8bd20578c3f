"""Where settings come from beside flags, environment and `.env`: YAML, secret files, numbers."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource

from transforms.errors import SettingsError

_NUMBERED_TOPIC = re.compile(r"topic_event_\d+", re.IGNORECASE)
_SECRET_FILES = {"db_user": "username", "db_password": "password"}

# Names of the old service's settings that this program has no use for: it ignores them.
_UNUSED = frozenset({"db_max_connection"})


def settings_sources(
    settings_cls: type[BaseSettings],
    flags: PydanticBaseSettingsSource,
    environment: PydanticBaseSettingsSource,
    dotenv: PydanticBaseSettingsSource,
) -> tuple[PydanticBaseSettingsSource, ...]:
    """Return all sources, the first wins."""
    return (
        flags,
        _NumberedTopics(settings_cls, environment),
        environment,
        _NumberedTopics(settings_cls, dotenv),
        dotenv,
        _YamlFile(settings_cls),
        _SecretFiles(settings_cls),
    )


class _Source(PydanticBaseSettingsSource):
    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        return None, field_name, False  # `__call__` does all

    def _earlier(self, name: str) -> Any:
        """Return what the sources before this one, or the default, say of a setting."""
        return self.current_state.get(name, self.settings_cls.model_fields[name].default)


class _NumberedTopics(_Source):
    """`TOPIC_EVENT_00`, `TOPIC_EVENT_01`, ... beside `TOPIC_EVENT` in one environment."""

    def __init__(
        self, settings_cls: type[BaseSettings], environment: PydanticBaseSettingsSource
    ) -> None:
        super().__init__(settings_cls)
        assert isinstance(environment, EnvSettingsSource)
        self._variables = environment.env_vars

    def __call__(self) -> dict[str, Any]:
        return _merge_numbered({k: v for k, v in self._variables.items() if v})


class _YamlFile(_Source):
    """The file of `--config`; its keys are the settings' names in either case."""

    def __call__(self) -> dict[str, Any]:
        path = self._earlier("config")
        if not path:
            return {}
        values = {str(key).lower(): value for key, value in _read_yaml(Path(path)).items()}
        known = {*self.settings_cls.model_fields, *_UNUSED}
        for key, value in values.items():
            if key not in known and not _NUMBERED_TOPIC.fullmatch(key):
                near = difflib.get_close_matches(key, known, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise SettingsError(f"--config {path}: no setting is called {key!r}{hint}")
            if not (isinstance(value, str) or (key == "topic_event" and _is_texts(value))):
                raise SettingsError(f"--config {path}: {key}: expected one value")
        present = {key: value for key, value in values.items() if value}
        return present | _merge_numbered(present)


class _SecretFiles(_Source):
    """The files `username` and `password` of a Kubernetes secret."""

    def __call__(self) -> dict[str, Any]:
        folder = Path(self._earlier("secret_dir"))
        found = {}
        for name, file_name in _SECRET_FILES.items():
            path = folder / file_name
            try:
                found[name] = path.read_text().strip()
            except (FileNotFoundError, NotADirectoryError):
                continue
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"secret file {path}: {_reason(error)}") from None
        return found


def _merge_numbered(variables: Mapping[str, Any]) -> dict[str, Any]:
    numbered = sorted(name for name in variables if _NUMBERED_TOPIC.fullmatch(name))
    if not numbered:
        return {}
    first = variables.get("topic_event", [])
    topics = first.split(",") if isinstance(first, str) else list(first)
    return {"topic_event": [*topics, *(str(variables[name]) for name in numbered)]}


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _read_yaml(path: Path) -> dict[Any, Any]:
    try:
        # Every value as its text: a time or a number is not YAML's to interpret.
        content = yaml.load(path.read_text(), Loader=yaml.BaseLoader)  # noqa: S506
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--config {path}: {_reason(error)}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise SettingsError(f"--config {path}: not YAML{where}") from None
    if not content:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"--config {path}: expected NAME: VALUE lines")
    return content


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return "not UTF-8" if isinstance(error, UnicodeDecodeError) else str(error.strerror)
