"""The request to stop: no new poll, flush, commit offsets, end.

The flag lives in a module of its own because Beam pickles functions: a flag in `__main__` would
be copied, and the signal handler would set another copy.
"""

import threading

_requested = threading.Event()


def request_stop() -> None:
    """Ask every reader in this process to end after its bundle. Safe in a signal handler."""
    _requested.set()


def clear_stop() -> None:
    """Take the request back, for the next pipeline in this process."""
    _requested.clear()


def stop_requested() -> bool:
    """Return whether `request_stop` was called."""
    return _requested.is_set()


def wait_for_stop(timeout_secs: float) -> bool:
    """Block until the stop is requested or the time is over; return whether it is requested."""
    return _requested.wait(timeout_secs)
