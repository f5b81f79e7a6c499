"""Every trace that a secret can leave in a text, whichever way it was encoded on its way there."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import quote, quote_plus

from django.db import connection

from mailservice.core.broker import redis_client

#: So much of the beginning of a secret is one itself.
_PART_CHARS = 16


def traces_of(secret: str) -> frozenset[str]:
    """Return the forms of a secret: plain, in part, escaped, in hex, and as part of any base64."""
    raw = secret.encode()
    inner = (_inner_base64(raw, shift) for shift in range(3))
    return frozenset(
        {
            secret,
            secret[:_PART_CHARS],
            json.dumps(secret)[1:-1],
            quote(secret, safe=""),
            quote_plus(secret),
            raw.hex(),
        }
        | set(inner)
    )


def _inner_base64(raw: bytes, shift: int) -> str:
    """Return what base64 makes of these octets after `shift` others, without its blurred ends."""
    whole = b64encode(b"\0" * shift + raw).decode().rstrip("=")
    return whole[2 if shift == 1 else 3 if shift else 0 : -2]


def found_in(texts: Mapping[str, str], secrets: Iterable[str]) -> list[str]:
    """Return where a secret shows, as "place: form"; empty if nowhere."""
    forms = [form for secret in secrets for form in traces_of(secret)]
    return sorted(
        f"{place}: {form}" for place, text in texts.items() for form in forms if form in text
    )


def everything_stored() -> Iterator[tuple[str, str]]:
    """Yield every table of the database and every key of the broker as text."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            name = connection.ops.quote_name(table)
            cursor.execute(f"SELECT coalesce(string_agg(t::text, chr(10)), '') FROM {name} t")  # noqa: S608 - a table's own name
            yield f"table {table}", cursor.fetchone()[0]
    broker = redis_client()
    for key in broker.scan_iter():
        dumped = broker.dump(key) or b""
        yield f"broker key {key!r}", dumped.decode("latin-1")
