"""A name server on 127.0.0.1 that answers from a table, for as long as a test runs."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping, Sequence

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

#: Instead of records: how a question goes wrong.
SERVFAIL, SILENCE = "SERVFAIL", "SILENCE"
Records = Sequence[str] | str


class NameServer:
    """Answers from `zone`, which a test may change at any time; counts what it was asked.

    Keys are (name, type), values lists of records as in a zone file (TXT is quoted for you), or
    `SERVFAIL` or `SILENCE`. Names without any entry do not exist.
    """

    def __init__(self, zone: Mapping[tuple[str, str], Records]) -> None:
        self.zone: dict[tuple[str, str], Records] = dict(zone)
        self.asked: list[tuple[str, str]] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.sendto(b"", self._socket.getsockname())  # nothing asked: the end
        self._thread.join(5)
        self._socket.close()

    def _serve(self) -> None:
        while True:
            data, sender = self._socket.recvfrom(4096)
            if not data:
                return
            try:
                reply = self._reply(dns.message.from_wire(data))
            except dns.exception.DNSException:
                continue
            if reply is not None:
                self._socket.sendto(reply.to_wire(max_size=65_000), sender)

    def _reply(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.RA
        found = self.zone.get((name, kind))
        if found == SILENCE:
            return None
        if found == SERVFAIL:
            reply.set_rcode(dns.rcode.SERVFAIL)
            return reply
        self._fill(reply, name, kind)
        return reply

    def _fill(self, reply: dns.message.Message, name: str, kind: str) -> None:
        for _ in range(10):
            values = self.zone.get((name, kind))
            if values:
                reply.answer.append(_rrset(name, kind, values))
                return
            alias = self.zone.get((name, "CNAME"))
            if not alias:
                break
            reply.answer.append(_rrset(name, "CNAME", alias))
            name = alias[0].rstrip(".").lower()
        if not any(owner == name or owner.endswith(f".{name}") for owner, _ in self.zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)


def _rrset(name: str, kind: str, values: Sequence[str] | str) -> dns.rrset.RRset:
    texts = [_quoted(value) if kind == "TXT" else value for value in values]
    return dns.rrset.from_text(f"{name.rstrip('.')}.", 60, "IN", kind, *texts)


def _quoted(text: str) -> str:
    chunks = [text[start : start + 250] for start in range(0, len(text), 250)] or [""]
    return " ".join('"' + chunk.replace("\\", "\\\\").replace('"', '\\"') + '"' for chunk in chunks)


@contextlib.contextmanager
def name_server(zone: Mapping[tuple[str, str], Records]) -> Iterator[NameServer]:
    """Serve a zone while the block runs."""
    server = NameServer(zone)
    try:
        yield server
    finally:
        server.close()
