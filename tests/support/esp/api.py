"""Stand-ins for the APIs of providers: how each asks for credentials, reads a mail and answers."""

from __future__ import annotations

import itertools
import json
from base64 import b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import parse_qs

from tests.support.esp.seen import Seen, octets_of
from tests.support.esp.server import Answer, Request

_ids = itertools.count(1)


@dataclass
class Api:
    """One provider's API with one account."""

    kind: str
    secrets: dict[str, str]
    #: Path of the call that sends.
    send_path: str
    is_authentic: Callable[[Request, dict[str, str]], bool]
    read: Callable[[Request], Seen]
    accept: Callable[[Seen], Answer]
    #: Real answers to what is wrong: bad credentials, content, sender, `bad` address, too much.
    refused: Answer
    content: Answer
    sender: Answer
    recipient: Callable[[str], Answer]
    quota: Answer
    #: Path below the host that the account's `api_url` ends in.
    base: str = "/"
    settings: dict[str, Any] = field(default_factory=dict)
    #: Answers to questions that send nothing, by path.
    questions: dict[str, Answer] = field(default_factory=dict)
    mails: list[Seen] = field(default_factory=list)
    #: What the provider called each mail.
    ids: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> Answer:
        """Answer as the provider would."""
        if not self.is_authentic(request, self.secrets):
            return self.refused
        if request.method == "GET" or request.path != self.send_path:
            return self.questions.get(request.path, Answer(404, {"message": "Not found"}))
        if is_empty(request):
            return self.content
        seen = self.read(request)
        self.mails.append(seen)
        return self.accept(seen)

    def new_id(self) -> str:
        """Return a new id of a mail."""
        self.ids.append(f"{self.kind}-{next(_ids)}")
        return self.ids[-1]


def is_empty(request: Request) -> bool:
    """Tell whether it is a send call without a mail, made to try the credentials."""
    return request.body in {b"", b"{}"}


def bearer(request: Request, secrets: dict[str, str]) -> bool:
    """Check a bearer token."""
    return request.headers.get("authorization") == f"Bearer {next(iter(secrets.values()))}"


def header(name: str) -> Callable[[Request, dict[str, str]], bool]:
    """Return the check of a header that is the key."""
    return lambda request, secrets: request.headers.get(name) == next(iter(secrets.values()))


def basic(user: str | None = None) -> Callable[[Request, dict[str, str]], bool]:
    """Return the check of HTTP basic credentials."""

    def is_authentic(request: Request, secrets: dict[str, str]) -> bool:
        pair = [user, *secrets.values()] if user else [*secrets.values()]
        token = b64encode(":".join(pair).encode()).decode()
        return request.headers.get("authorization") == f"Basic {token}"

    return is_authentic


def json_of(text: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(text)
    return found


def json_header(headers: dict[str, str], name: str) -> dict[str, str]:
    lowered = {key.lower(): value for key, value in headers.items()}
    return json_of(lowered.get(name.lower(), "{}"))


def form_of(request: Request) -> tuple[dict[str, list[str]], dict[str, list[tuple[str, bytes]]]]:
    """Return fields and files of a form, multipart or not."""
    content_type = request.headers.get("content-type", "")
    if not content_type.startswith("multipart/"):
        return parse_qs(request.body.decode(), keep_blank_values=True), {}
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    form = BytesParser(policy=HTTP).parsebytes(head + request.body)
    fields: dict[str, list[str]] = {}
    found: dict[str, list[tuple[str, bytes]]] = {}
    for part in form.iter_parts():
        name = str(part.get_param("name", header="content-disposition"))
        octets = octets_of(part)
        filename = part.get_filename()
        if filename is None:
            fields.setdefault(name, []).append(octets.decode())
        else:
            found.setdefault(name, []).append((filename, octets))
    return fields, found
