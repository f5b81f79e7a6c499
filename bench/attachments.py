"""One large attachment to many recipients: what it costs on the way in and on the way out.

    .venv/bin/python -m bench.attachments [--megabytes 25] [--count 200] [--threads 16]

A file is uploaded twice to the real web server (as multipart and as base64 in JSON), then attached
by its id to a batch of mails, which one real worker process sends to the local sink, which counts.
Reports MB/s on the wire, CPU per mail, and the peak memory of the web and worker processes. The
bounds of a request are raised where the shipped ones would refuse the file.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import random
import sys
import tempfile
import time
from base64 import b64encode
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench import measure
from bench.processes import SinkProcess, WebServer, WorkerProcess

MEGABYTE = 1_000_000
#: What a mail of a 25 MB file needs: base64 makes it a third larger.
LIMITS = {"MAX_ATTACHMENT_BYTES": "31457280", "MAX_MESSAGE_BYTES": "44040192"}


def main() -> int:
    """Run once and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=25)
    parser.add_argument("--count", type=int, default=200, help="recipients, at most 1000")
    parser.add_argument("--threads", type=int, default=16, help="connections of the worker")
    arguments = parser.parse_args()
    for name, value in LIMITS.items():
        os.environ.setdefault(name, value)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MEDIA_ROOT"] = folder
        measure.prepare()
        measure.set_up_django()
        with SinkProcess() as sink:
            secret = _make_account_and_key(sink.port, arguments.threads)
            figures = _accept(secret, round(arguments.megabytes * MEGABYTE), arguments.count)
            figures |= _drain(arguments.count, arguments.threads)
            figures["sink_cpu_ms_per_mail"] = 1000 * measure.cpu_seconds(sink.pid) / arguments.count
            figures["megabytes_per_second"] = figures["mails_per_second"] * arguments.megabytes
            arrived = [mail.message_id for mail in sink.arrivals()]
        if not len(arrived) == len(set(arrived)) == arguments.count:
            raise SystemExit(f"Lost or repeated: {len(arrived)=} {len(set(arrived))=}")
    measure.report(f"{arguments.megabytes:g} MB to {arguments.count}", [figures])
    return 0


def _make_account_and_key(port: int, threads: int) -> str:
    from django.db import connection

    from accounts.models import User
    from accounts.services import create_api_key
    from mailservice.core.broker import redis_client
    from providers.models import Provider

    with connection.cursor() as cursor:
        cursor.execute(
            "TRUNCATE delivery_message, delivery_content, delivery_attempt, delivery_event,"
            " delivery_lease, delivery_attachment, delivery_upload, delivery_blob,"
            " delivery_idempotencyrecord, providers_provider, providers_routingdecision CASCADE"
        )
    redis_client().flushdb()
    Provider.objects.create(
        name="sink",
        kind="smtp",
        from_email="shop@shop.example",
        settings={"host": "127.0.0.1", "port": port},
        max_connections=threads,
    )
    user, _ = User.objects.get_or_create(email="bench@example.com")
    return create_api_key(user=user, name="bench").secret


# --- accept ---------------------------------------------------------------------------------------


def _accept(secret: str, size: int, count: int) -> measure.Figures:
    """Upload the file in both ways and queue the mails; return what the web processes took."""
    from mailservice.core.broker import redis_client

    data = random.Random(7).randbytes(size)  # noqa: S311 - filler
    with WebServer() as server:
        client, web = _Client(server.port, secret), server.pid
        figures = {"web_idle_mebibytes": measure.peak_mebibytes(web)}
        uploads = {
            "upload": (_multipart(data), "multipart/form-data; boundary=frontier"),
            "base64": (_in_json(data), "application/json"),
        }
        for name, (body, content_type) in uploads.items():
            _forget_peaks(web)
            cpu, started = measure.cpu_seconds(web), time.perf_counter()
            file_id = client.post("/api/v1/attachments", body, content_type)["id"]
            figures |= {
                f"{name}_seconds": time.perf_counter() - started,
                f"{name}_web_cpu": measure.cpu_seconds(web) - cpu,
                f"{name}_web_mebibytes": measure.peak_mebibytes(web),
            }
        batch = {
            "from": "shop@shop.example",
            "subject": "Your catalogue",
            "html": "<p>Dear {{ name }}, here it is.</p>",
            "email_type": "marketing",
            "attachments": [{"upload_id": file_id}],
            "recipients": [
                {"to": f"customer{number}@customers.example", "context": {"name": f"No. {number}"}}
                for number in range(count)
            ],
        }
        client.post("/api/v1/emails/batch", json.dumps(batch).encode(), "application/json")
    # The wake-up of the batch: the worker's idle memory is looked at before it begins.
    redis_client().flushdb()
    return figures


class _Client:
    """Posts to the API with a key."""

    def __init__(self, port: int, secret: str) -> None:
        self._port = port
        self._secret = secret

    def post(self, path: str, body: bytes, content_type: str) -> dict[str, Any]:
        """Return the answer, which must be a success."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=120)
        headers = {
            "Authorization": f"Bearer {self._secret}",
            "Content-Type": content_type,
            "Idempotency-Key": str(uuid4()),
        }
        connection.request("POST", path, body, headers)
        response = connection.getresponse()
        answer = response.read()
        connection.close()
        if response.status not in {http.client.CREATED, http.client.ACCEPTED}:
            raise SystemExit(answer[:2000].decode(errors="replace"))
        found: dict[str, Any] = json.loads(answer)
        return found


def _multipart(data: bytes) -> bytes:
    head = (
        b'--frontier\r\nContent-Disposition: form-data; name="file"; filename="catalogue.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n"
    )
    return b"".join((head, data, b"\r\n--frontier--\r\n"))


def _in_json(data: bytes) -> bytes:
    return b'{"filename": "catalogue.bin", "content": "%s"}' % b64encode(data)


def _forget_peaks(root: int) -> None:
    """Let the peak memory of each process of a tree begin anew (proc(5), clear_refs)."""
    for pid in measure.tree(root):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


# --- drain ----------------------------------------------------------------------------------------


def _drain(count: int, threads: int) -> measure.Figures:
    """Send all that is queued by one worker process; return rates, CPU and memory."""
    from django.db.models import Max, Min

    from delivery.dispatch import wake
    from delivery.models import Attempt, Message
    from delivery.states import Lane, Status

    with WorkerProcess(1, threads) as worker:
        idle = measure.peak_mebibytes(worker.pid)
        cpu, deadline = measure.cpu_seconds(worker.pid), time.monotonic() + 120 + 2 * count
        while Message.objects.filter(status__in=[Status.QUEUED, Status.SENDING]).exists():
            wake(Lane.BULK)
            time.sleep(0.1)
            if time.monotonic() > deadline:
                raise SystemExit("The queue does not drain.")
        time.sleep(0.5)
        cpu = measure.cpu_seconds(worker.pid) - cpu
        peak = measure.peak_mebibytes(worker.pid)
    sent = Message.objects.filter(status=Status.SENT).count()
    if not sent == Attempt.objects.count() == count:
        raise SystemExit(f"Not sent once each: {sent=} attempts={Attempt.objects.count()}")
    spent = Attempt.objects.aggregate(begin=Min("started_at"), end=Max("started_at"))
    ended = Message.objects.aggregate(end=Max("sent_at"))["end"]
    seconds = (ended - spent["begin"]).total_seconds()
    return {
        "mails": count,
        "seconds": seconds,
        "mails_per_second": count / seconds,
        "worker_cpu_ms_per_mail": 1000 * cpu / count,
        "worker_idle_mebibytes": idle,
        "worker_peak_mebibytes": peak,
    }


if __name__ == "__main__":
    sys.exit(main())
