"""An HTTP server in a thread, which no client can hold up."""

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from starlette.applications import Starlette
from uvicorn.protocols.http.h11_impl import H11Protocol

from transforms.errors import SettingsError

# A connection that completes no request in this time is closed, whatever it sends meanwhile.
# Kubernetes' and Prometheus' own limits are 1 to 10 s.
_IDLE_SECS = 10.0
_MAX_CONNECTIONS = 64  # for one more, the oldest is closed: a probe always gets in
_MAX_HEADER_BYTES = 16 << 10
_HEADERS = [
    ("cache-control", "no-store"),
    ("content-security-policy", "default-src 'self'; frame-ancestors 'none'"),
    ("referrer-policy", "no-referrer"),
    ("x-content-type-options", "nosniff"),
]


class _BoundedConnection(H11Protocol):
    """Bounds how long a connection lasts and how many there are: uvicorn does not (0.54)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.opened_at = self.loop.time()
        if len(self.connections) > _MAX_CONNECTIONS:
            min(self.connections, key=_opened_at).transport.abort()
        self._watch(None)

    def _watch(self, before: object) -> None:
        self.loop.call_later(_IDLE_SECS, self._check, before)

    def _check(self, before: object) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is before:
            self.transport.abort()
        else:
            self._watch(self.cycle)


def _opened_at(connection: Any) -> float:
    return float(connection.opened_at)


def open_port(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 is any free one.

    Raises:
        SettingsError: the port is taken, or the address is not this machine's.
    """
    try:
        [(family, _, _, _, address), *_] = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        listener = socket.socket(family)
        # A connection that is still closing from the run before must not keep the port.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen()
        except OSError:
            listener.close()
            raise
    except UnicodeError:
        raise SettingsError(f"--sidecar_host (SIDECAR_HOST): no address, got {host!r}") from None
    except OSError as error:
        raise SettingsError(
            f"--port (PORT), --sidecar_host (SIDECAR_HOST): {host}:{port} cannot be opened: "
            f"{error.strerror}; set another PORT, or 0 for any free one"
        ) from None
    return listener


class HttpServer:
    """Serves an ASGI application in a thread of its own.

    Args:
        listener: from `open_port`; closed with the server.
        application: its lifespan events are not used.
        tick: called once a second in the server's thread.

    Attributes:
        thread: ends soon after `stop`.
    """

    def __init__(
        self,
        listener: socket.socket,
        application: Starlette,
        tick: Callable[[], Awaitable[None]],
    ) -> None:
        self._server = uvicorn.Server(
            uvicorn.Config(
                application,
                http=_BoundedConnection,
                ws="none",
                loop="asyncio",
                lifespan="off",
                log_config=None,  # its lines come out as all others do
                log_level="warning",
                access_log=False,
                server_header=False,
                headers=_HEADERS,
                h11_max_incomplete_event_size=_MAX_HEADER_BYTES,
                timeout_graceful_shutdown=1,
                callback_notify=tick,
                timeout_notify=0,  # at each of uvicorn's own ticks, one a second
            )
        )
        self.thread = threading.Thread(
            target=self._server.run, args=([listener],), name="sidecar", daemon=True
        )

    def start(self) -> None:
        self.thread.start()

    def stop(self) -> None:
        """Close the port soon; a client that still reads after 1 s is left behind."""
        self._server.should_exit = True
