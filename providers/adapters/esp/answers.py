"""Reading what an API answered: codes and words out of any JSON, without our secrets."""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

_CODE_NAMES = frozenset({"code", "errorcode", "error_code", "name", "type", "__type", "status"})
_WORD_NAMES = frozenset(
    {
        "message", "error", "errors", "errormessage", "description", "detail", "details", "title",
        "reason", "reject_reason", "argument_name", "help_message", "warnings", "failed_emails",
        "field", "errorrelatedto",
    }
)  # fmt: skip
_MAX_DEPTH, _MAX_WORDS, _MAX_TEXT_CHARS = 8, 12, 500
_MAX_BODY_BYTES = 20_000
_MAX_WAIT_SECONDS = 86_400.0
_SHORTEST_SECRET = 4
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")
_HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer as far as it matters for a verdict."""

    #: 0 if none came.
    status: int = 0
    codes: tuple[str, ...] = ()
    #: One line, at most 500 characters, free of secrets.
    text: str = ""
    retry_after_seconds: float | None = None


class Secrets:
    """The credentials of an account in every form in which an API may echo them."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        plain = [value for value in secrets.values() if len(value) >= _SHORTEST_SECRET]
        # HTTP basic: `user:password` of any two, as some APIs pair the keys.
        pairs = [f"{one}:{two}" for one in ("api", *plain) for two in plain]
        forms = [form for value in (*plain, *pairs) for form in _forms(value)]
        self._forms = sorted(set(forms), key=len, reverse=True)

    def hide(self, text: str) -> str:
        """Return the text with every secret replaced."""
        for form in self._forms:
            text = text.replace(form, _HIDDEN)
        return text

    def one_line(self, text: str) -> str:
        """Return the text as one short line without secrets."""
        return _CONTROLS.sub(" ", self.hide(text)).strip()[:_MAX_TEXT_CHARS]


def _forms(value: str) -> tuple[str, ...]:
    escaped = json.dumps(value)[1:-1]
    in_base64 = base64.b64encode(value.encode()).decode()
    return value, escaped, quote(value, safe=""), quote_plus(value), in_base64


def answer_of(response: Any, secrets: Secrets) -> Answer:
    """Return what a response of `requests` says."""
    # Not `text`, which guesses at charsets for long.
    body = response.content[:_MAX_BODY_BYTES].decode(errors="replace")
    codes, words = _read(body)
    # Hidden first: without its markup or spaces, a secret would not be known again.
    plain = _without_markup(secrets.hide(body))
    line = secrets.one_line("; ".join(words) or plain or str(response.reason or ""))
    return Answer(response.status_code, codes, line, retry_after_in(response.headers))


def retry_after_in(headers: Mapping[str, str]) -> float | None:
    """Return how many seconds an answer asks us to wait, None if it does not say."""
    names = ("retry-after", "x-retry-after")
    value = next((text for name, text in headers.items() if name.lower() in names), "")
    return retry_after(value, now=datetime.fromtimestamp(time.time(), UTC))


def retry_after(value: str, *, now: datetime) -> float | None:
    """Return how many seconds the provider asks us to wait, or None if it does not say.

    `value` is a `Retry-After`: seconds or an HTTP date (RFC 9110 §10.2.3). At most a day.
    """
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value[:9]), _MAX_WAIT_SECONDS)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), _MAX_WAIT_SECONDS)


def _read(body: str) -> tuple[tuple[str, ...], list[str]]:
    """Return the codes and the sentences of a JSON error."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        return (), []
    codes: list[str] = []
    words: list[str] = []
    for name, value in _leaves(data, "", _MAX_DEPTH):
        key = name.lower().replace("-", "_")
        if key in _CODE_NAMES:
            codes.append(str(value))
        if isinstance(value, str) and (key in _WORD_NAMES or key in {"code", "name"}):
            words.append(value.strip())
    return tuple(codes), list(dict.fromkeys(word for word in words if word))[:_MAX_WORDS]


def _leaves(data: object, name: str, depth: int) -> Iterator[tuple[str, object]]:
    """Yield (name of the member, scalar); what stands below a telling name bears that name."""
    if depth == 0:
        return
    if isinstance(data, dict):
        for key, value in data.items():
            if "@" in str(key):
                # What is said of an address stands below it.
                yield "message", str(key)
            is_telling = name.lower() in _WORD_NAMES and str(key).lower() not in _CODE_NAMES
            yield from _leaves(value, name if is_telling else str(key), depth - 1)
    elif isinstance(data, list):
        for value in data:
            yield from _leaves(value, name, depth - 1)
    elif data is not None:
        yield name, data


def _without_markup(body: str) -> str:
    return " ".join(re.sub(r"<[^<>]*>", " ", body).split())


def named_in(text: str, addresses: Collection[str]) -> frozenset[str]:
    """Return those of our addresses that an answer names, for good or ill."""
    lowered = text.lower()
    return frozenset(one for one in addresses if one.lower() in lowered)
