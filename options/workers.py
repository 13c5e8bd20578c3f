"""The settings as they travel to workers: without secrets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from options.settings import Settings, is_secret

# User and password belong together: both are read where they are used, so that a changed
# secret file is followed. A user given as a flag travels.
_CREDENTIALS = frozenset({"db_user", "kafka_user"})


@dataclass(frozen=True)
class WorkerSettings:
    """Settings that can be pickled into a job: they hold no secret.

    Args:
        values: settings that a worker takes over from where the job was started.
    """

    values: tuple[tuple[str, Any], ...]

    @classmethod
    def of(cls, settings: Settings, flags: Mapping[str, Any]) -> Self:
        """Return what a worker needs of the settings."""
        return cls(
            tuple(
                (name, getattr(settings, name))
                for name in Settings.model_fields
                if not is_secret(name) and (name not in _CREDENTIALS or name in flags)
            )
        )

    def read(self) -> Settings:
        """Return the settings, with the secrets of this machine's environment or secret files.

        Raises:
            pydantic.ValidationError, SettingsError: the secrets are not there, or are malformed.
        """
        return Settings(**dict(self.values))
