"""Configuration of the web server: `gunicorn --config mailservice/gunicorn.py mailservice.wsgi`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]  # ships no types

from mailservice.core.masking import MaskingFormatter


def _count(name: str, default: int) -> int:
    text = os.environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise SystemExit(f"{name}: {text!r} is not a positive whole number.")
    return int(text)


_host = os.environ.get("HOST") or "127.0.0.1"
bind = f"{f'[{_host}]' if ':' in _host else _host}:{_count('PORT', 8000)}"
worker_class = "gthread"
workers = _count("WEB_CONCURRENCY", 2)
#: The database pool has to hold a connection for each.
threads = _count("WEB_THREADS", 8)
# Each worker opens its own pool and broker connections: nothing of that survives a fork.
preload_app = False
graceful_timeout = _count("WEB_GRACEFUL_SECONDS", 10)
timeout = _count("WEB_TIMEOUT_SECONDS", 60)
keepalive = 15
#: Since 25.1 gunicorn would open a control socket in the home folder.
control_socket_disable = True
accesslog = "-" if os.environ.get("ACCESS_LOG") == "1" else None
#: The heartbeat file must not sit on a disk that may stall.
_memory = Path("/dev/shm")  # noqa: S108 - gunicorn makes private files there
worker_tmp_dir = str(_memory) if _memory.is_dir() else None


class LineLogger(Logger):  # type: ignore[misc]  # as above
    """Writes the server's own messages in the format of all other logs."""

    error_fmt = "%(asctime)s %(levelname)-7s gunicorn: %(message)s"
    datefmt = "%H:%M:%S"

    def setup(self, cfg: Any) -> None:
        """Have no line show the secret of a link."""
        super().setup(cfg)
        for logger in (self.error_log, self.access_log):
            for handler in logger.handlers:
                held = handler.formatter
                # Private, but there is no other way to its two formats.
                style = held._fmt if held else None  # noqa: SLF001 - see above
                handler.setFormatter(MaskingFormatter(style, self.datefmt))


logger_class = LineLogger
