"""A batch: many whole messages, or one content with many recipients."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from delivery.intake import fields
from delivery.intake.faults import Faults, clip
from delivery.intake.message import (
    CONTENT_FIELDS,
    ENVELOPE_FIELDS,
    Arguments,
    canonical,
    check_expiry,
    parse_message,
    read_content,
    read_context,
    read_locale,
    read_send_at,
)
from delivery.intake.recipients import places_of, read_envelope
from delivery.intake.shapes import BatchInput, BatchItem, MessageInput
from mailservice.core.errors import InvalidInputError
from mailservice.core.headers import MAX_HEADERS
from templates_app.engine import TemplateSyntaxProblem, liquid_chars, scan

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from delivery.intake.shapes import Limits

#: What an entry of `recipients` may hold beside the shared content.
ITEM_FIELDS = frozenset(
    {"to", "cc", "bcc", "context", "headers", "metadata", "tags", "locale", "send_at", "validate"}
)
_SHARED_FIELDS = CONTENT_FIELDS | ENVELOPE_FIELDS | {"recipients"}
_MAX_NAMED = 10
#: Inside `{{ … }}` and `{% … %}` of all different inline templates of one batch; compiling takes up
#: to 3 µs for each. A thousand mails that each greet in other words have some 100 characters each.
MAX_BATCH_LIQUID_CHARS = 300_000


def parse_batch(data: Mapping[str, object], *, now: datetime, limits: Limits) -> BatchInput:
    """Return the items of a batch, each with its message or its error.

    `data` is `{"messages": [message, …]}`, or one content and `"recipients": [{"to", "cc", "bcc",
    "context", "headers", "metadata", "tags", "locale", "send_at", "validate"}, …]`. There, an
    item's context, headers and metadata are laid over the shared ones key by key, its tags are
    added, its locale, `send_at` and `validate` replace them; a plain string stands for
    `{"to": …}`. Raises `InvalidInputError` only for a fault that is not one item's.
    """
    if data.get("messages") is None:
        return _parse_shared(data, now, limits)
    faults = Faults()
    for name in sorted(data.keys() - {"messages"})[:_MAX_NAMED]:
        faults.add(clip(name), "conflict", "Beside messages no other field is allowed.")
    messages = _read_list(data["messages"], "messages", faults, limits)
    _check_addresses(messages, "messages", faults, limits)
    faults.raise_if_any()
    items = tuple(_whole(index, item, now, limits) for index, item in enumerate(messages))
    _check_templates(items)
    return BatchInput(items, is_shared_content=False)


def _check_templates(items: tuple[BatchItem, ...]) -> None:
    """Refuse more Liquid than is compiled while somebody waits, before any of it is.

    What cannot be read as a template costs nothing; acceptance tells its author why.
    """
    sources: set[str] = set()
    for item in items:
        message = item.message
        if message is not None and message.template is None and message.context is not None:
            sources |= {message.subject, message.html, message.text}
    left = MAX_BATCH_LIQUID_CHARS
    for source in sources:
        with suppress(TemplateSyntaxProblem):
            left -= liquid_chars(scan(source))
        if left < 0:
            raise InvalidInputError.for_field(
                "messages",
                f"The inline templates hold more than {MAX_BATCH_LIQUID_CHARS:,} characters in "
                "{{ … }} and {% … %} that are not the same: send fewer messages at once, one "
                "content with recipients, or stored templates.",
                code="too_many",
            )


def _read_list(value: object, path: str, faults: Faults, limits: Limits) -> list[Any]:
    if not isinstance(value, list):
        faults.add(path, "invalid_type", "This must be a list.")
    elif not value:
        faults.add(path, "required", "The list is empty.")
    elif len(value) > limits.max_batch:
        faults.add(
            path, "too_many", f"At most {limits.max_batch} items are allowed, {len(value)} given."
        )
    else:
        return value
    return []


def _check_addresses(items: list[Any], path: str, faults: Faults, limits: Limits) -> None:
    """Count before reading: checking addresses is what a batch costs."""
    given = [
        value
        for item in items
        if isinstance(item, dict)
        for name in ("to", "recipients", "cc", "bcc")
        if (value := item.get(name))
    ]
    count = sum(len(value) if isinstance(value, list) else 1 for value in given)
    if count > limits.max_batch_addresses:
        faults.add(
            path,
            "too_many",
            f"At most {limits.max_batch_addresses} addresses in all are allowed, {count} given.",
        )


def _whole(index: int, item: object, now: datetime, limits: Limits) -> BatchItem:
    try:
        if not isinstance(item, dict):
            raise InvalidInputError.for_field("", "This must be an object.", code="invalid_type")
        return BatchItem(index, parse_message(item, now=now, limits=limits), None)
    except InvalidInputError as error:
        return BatchItem(index, None, error)


def _parse_shared(data: Mapping[str, object], now: datetime, limits: Limits) -> BatchInput:
    if data.get("recipients") is None:
        raise InvalidInputError.for_field(
            "messages", "Give messages, or one content with recipients.", code="required"
        )
    faults = Faults()
    for name in sorted(ENVELOPE_FIELDS & data.keys()):
        faults.add(name, "conflict", "Beside recipients this belongs into each of its entries.")
    given = canonical(data, _SHARED_FIELDS, faults)
    recipients = _read_list(given.pop("recipients", None), "recipients", faults, limits)
    _check_addresses(recipients, "recipients", faults, limits)
    shared = read_content(given, faults, now=now, limits=limits)
    faults.raise_if_any()
    reader = _ItemReader(shared, now, limits)
    return BatchInput(
        tuple(reader.read(index, item) for index, item in enumerate(recipients)),
        is_shared_content=True,
    )


class _ItemReader:
    """Makes messages from one content and the entries of `recipients`."""

    def __init__(self, shared: Arguments, now: datetime, limits: Limits) -> None:
        self.shared = shared
        self.now = now
        self.limits = limits

    def read(self, index: int, item: object) -> BatchItem:
        faults = Faults()
        given: dict[str, object] = {}
        if isinstance(item, dict):
            given = canonical(item, ITEM_FIELDS, faults)
            arguments = self._arguments(given, faults)
        elif isinstance(item, str):
            given = {"to": item}
            arguments = self._arguments(given, faults)
        else:
            faults.add("", "invalid_type", 'This must be an object such as {"to": …}.')
        error = faults.error()
        if error is not None:
            return BatchItem(index, None, error)
        if arguments.get("validate"):
            arguments["places"] = places_of(given, faults.names)
        return BatchItem(index, MessageInput(**arguments), None)

    def _arguments(self, given: dict[str, object], faults: Faults) -> Arguments:
        arguments = self.shared.copy()
        arguments["to"], arguments["cc"], arguments["bcc"] = read_envelope(
            given, faults, limit=self.limits.max_recipients
        )
        if "context" in given:
            merged = _merged(arguments["context"], given["context"])
            arguments["context"] = read_context(merged, faults)
        if "metadata" in given:
            merged = _merged(arguments["metadata"], given["metadata"])
            arguments["metadata"] = fields.read_metadata(merged, faults)
        if len(given) > 1:
            self._read_rare(given, faults, arguments)
        return arguments

    def _read_rare(self, given: dict[str, object], faults: Faults, arguments: Arguments) -> None:
        if "headers" in given:
            own = fields.read_headers(given["headers"], faults)
            headers = _overlay(arguments["headers"], own)
            fields.check_count(len(headers), "headers", faults, limit=MAX_HEADERS)
            arguments["headers"] = headers
        if "tags" in given:
            own_tags = fields.read_tags(given["tags"], faults)
            tags = tuple(dict.fromkeys(arguments["tags"] + own_tags))
            fields.check_count(len(tags), "tags", faults, limit=fields.MAX_TAGS)
            arguments["tags"] = tags
        if "locale" in given:
            arguments["locale"] = read_locale(given["locale"], faults)
        if "send_at" in given:
            arguments["send_at"] = read_send_at(given["send_at"], faults, self.now)
            check_expiry(arguments.get("expires_at"), arguments["send_at"], faults, self.now)
        if "validate" in given:
            arguments["validate"] = fields.read_flag(given["validate"], "validate", faults)


def _merged(shared: dict[str, Any] | None, own: object) -> object:
    """Return an item's object over the shared one, to be checked as a whole."""
    return {**shared, **own} if shared and isinstance(own, dict) else own


def _overlay(shared: dict[str, str], own: dict[str, str]) -> dict[str, str]:
    """Return both sets of headers, where one's own replaces the shared one of the same name."""
    names = {name.lower() for name in own}
    return {name: value for name, value in shared.items() if name.lower() not in names} | own
