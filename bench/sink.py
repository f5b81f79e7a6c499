"""A counting SMTP sink: takes mail at several thousand a second and proves what arrived.

    python bench/sink.py --port 0 --log mails.tsv

The first line on stdout is JSON with the port. Each mail becomes one line of the log, written at
least every 100 ms: Message-ID, number of accepted recipients, wall time in seconds since 1970
(and the recipients, comma-separated, with `--log-recipients`). The verb XSTAT answers
`250 received=N unique=M`. SIGTERM and SIGINT write what is left and end the process.

`python bench/sink.py --self-test 20000` measures the sink alone.

Delays are per answer, as a relay would take them: pipelined commands are answered together after
one `--reply-delay-ms`, the data after `--final-delay-ms`. Standard library only.
"""

from __future__ import annotations

import argparse
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if __name__ == "__main__":  # run as a script, not as bench.sink
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.sink_options import Fault, Mail, SinkOptions
from bench.sink_server import Sink

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Fault", "Mail", "Sink", "SinkOptions", "main", "run_self_test", "statistics"]

_RECV_BYTES = 65_536


def statistics(port: int, host: str = "127.0.0.1") -> tuple[int, int]:
    """Ask a running sink how many mails it received and how many distinct Message-IDs."""
    with socket.create_connection((host, port), timeout=10) as sock, sock.makefile("rwb") as stream:
        stream.readline()
        stream.write(b"XSTAT\r\nQUIT\r\n")
        stream.flush()
        received, unique = re.findall(rb"=(\d+)", stream.readline())
        stream.readline()
    return int(received), int(unique)


def run_self_test(count: int, connections: int = 4) -> dict[str, float]:
    """Pump `count` ready-made mails of 6.6 kB into a sink in another process; return the rates."""
    command = [sys.executable, __file__, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            port = json.loads(process.stdout.readline())["port"]  # type: ignore[union-attr]  # PIPE
            started = time.perf_counter()
            threads = [
                threading.Thread(target=_pump, args=(port, range(k, count, connections)))
                for k in range(connections)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            seconds = time.perf_counter() - started
            received, unique = statistics(port)
            fields = Path(f"/proc/{process.pid}/stat").read_text("ascii").split()
            cpu_seconds = (int(fields[13]) + int(fields[14])) / 100
        finally:
            process.terminate()
    return {
        "received": received,
        "unique": unique,
        "mails_per_second": round(received / seconds),
        "sink_cpu_ms_per_mail": round(cpu_seconds * 1000 / max(received, 1), 4),
    }


def _pump(port: int, numbers: Iterable[int]) -> None:
    body = b"x" * 76 + b"\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.recv(_RECV_BYTES)
        for number in numbers:
            sock.sendall(b"MAIL FROM:<a@a.example>\r\nRCPT TO:<b@b.example>\r\nDATA\r\n")
            while not sock.recv(_RECV_BYTES).endswith(b"Go on\r\n"):
                pass
            sock.sendall(b"Message-ID: <%d@x>\r\n\r\n" % number + body * 84 + b".\r\n")
            sock.recv(_RECV_BYTES)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free one")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--log-recipients", action="store_true")
    parser.add_argument("--reply-delay-ms", type=float, default=0)
    parser.add_argument("--final-delay-ms", type=float, default=0)
    parser.add_argument("--no-pipelining", action="store_true")
    parser.add_argument("--drop-after-data", type=int, default=0, metavar="N")
    parser.add_argument("--max-per-connection", type=int, default=0, metavar="N")
    parser.add_argument(
        "--reply", action="append", default=[], metavar="PATTERN=REPLY", help="for RCPT"
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        type=Fault.parse,
        metavar="STAGE:N:ACTION",
        help="each Nth time at greet, mail, rcpt, data, body, end (mail not taken) or taken:"
        " drop, hang or a reply",
    )
    parser.add_argument("--self-test", type=int, metavar="COUNT")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    """Run the sink as a process of its own."""
    given = _parse(arguments)
    if given.self_test:
        print(json.dumps(run_self_test(given.self_test)))
        return
    rules = [rule.partition("=") for rule in given.reply]
    options = SinkOptions(
        host=given.host,
        port=given.port,
        log=given.log,
        log_recipients=given.log_recipients,
        reply_delay_seconds=given.reply_delay_ms / 1000,
        final_delay_seconds=given.final_delay_ms / 1000,
        pipelining=not given.no_pipelining,
        drop_after_data=given.drop_after_data,
        max_per_connection=given.max_per_connection,
        recipient_replies=tuple((pattern.lower(), reply) for pattern, _, reply in rules),
        faults=tuple(given.fault),
    )
    sink = Sink(options, keeps_mails=False)
    port = sink.bind()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sink.stop())
    print(json.dumps({"port": port}), flush=True)
    sink.serve()


if __name__ == "__main__":
    main()
