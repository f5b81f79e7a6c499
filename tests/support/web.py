"""The web server as it runs in production, and words put on its wire as they are."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.support.workers import ROOT, environment

_START_SECONDS = 60


class WebServer:
    """Gunicorn with our configuration on the test's own database; answers on entry."""

    def __init__(self, log: Path) -> None:
        self._log = log

    def __enter__(self) -> Self:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port: int = probe.getsockname()[1]
        extra = {"PROCESS_ROLE": "web", "PORT": str(self.port), "WEB_CONCURRENCY": "1"}
        command = [
            *(sys.executable, "-m", "gunicorn", "--config", "mailservice/gunicorn.py"),
            *("--log-level", "warning", "mailservice.wsgi"),
        ]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment(**extra), stdout=log, stderr=log
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(f"The web server does not start: {self.log()}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.terminate()
        self._process.wait(30)

    def log(self) -> str:
        """Return what it has written."""
        return self._log.read_text()

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == http.client.OK
        except OSError:
            return False
        finally:
            connection.close()

    def post_chunked(
        self, path: str, *chunks: bytes, end: bytes = b"0\r\n\r\n", **headers: str
    ) -> Said:
        """Post a body in these chunks."""
        head = "".join(f"{name.replace('_', '-')}: {text}\r\n" for name, text in headers.items())
        words = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n{head}\r\n"
        )
        body = b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks)
        return self.say(words.encode() + body + end)

    def say(self, words: bytes) -> Said:
        """Return the answer to what is put on the wire; the client then says no more."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(words)
            connection.shutdown(socket.SHUT_WR)
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return Said(answer.status, answer.read())


@dataclass(frozen=True)
class Said:
    """An answer."""

    status: int
    body: bytes
