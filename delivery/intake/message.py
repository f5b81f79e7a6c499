"""One message: from a decoded JSON object to a `MessageInput`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from delivery.intake import fields
from delivery.intake.attachments import encoded_bytes, read_attachments
from delivery.intake.faults import Faults, clip
from delivery.intake.recipients import places_of, read_address, read_envelope, read_reply_to
from delivery.intake.shapes import MessageInput
from mailservice.core.addresses import Address, AddressError, check_name
from templates_app.personal import VARIABLES as PERSONAL_VARIABLES

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from delivery.intake.shapes import Limits

MAX_SUBJECT_CHARS = 998
MAX_SENDER_NAME_CHARS = 200
MAX_SCHEDULE_AHEAD = timedelta(days=366)

#: Another name of a field → the field.
ALIASES = {
    "recipients": "to",
    "html_content": "html",
    "text_content": "text",
    "smtp_config_id": "provider_id",
}
ENVELOPE_FIELDS = frozenset({"to", "cc", "bcc"})
_CONTENT_FIELDS = (
    "from from_name reply_to subject html text template context locale headers tags metadata "
    "email_type list priority attachments send_at expires_at sequence_key track_opens track_clicks "
    "encrypt validate provider_id"
)
CONTENT_FIELDS = frozenset(_CONTENT_FIELDS.split())
FIELDS = ENVELOPE_FIELDS | CONTENT_FIELDS

#: A placeholder or tag with one of the recipient's own links.
_LINKS = re.compile(rf"\{{[{{%][^{{}}]*\b(?:{'|'.join(PERSONAL_VARIABLES)})\b")

#: Arguments of `MessageInput`.
Arguments = dict[str, Any]


def parse_message(data: Mapping[str, object], *, now: datetime, limits: Limits) -> MessageInput:
    """Return the message that a request asks for. Raises `InvalidInputError` with every fault.

    `data` is a JSON object (or what `from_multipart` makes); null and "" count as not given.
    `now` is aware.
    """
    faults = Faults()
    given = canonical(data, FIELDS, faults)
    arguments = read_content(given, faults, now=now, limits=limits)
    arguments["to"], arguments["cc"], arguments["bcc"] = read_envelope(
        given, faults, limit=limits.max_recipients
    )
    faults.raise_if_any()
    if arguments.get("validate"):
        arguments["places"] = places_of(given, faults.names)
    return MessageInput(**arguments)


def canonical(
    data: Mapping[str, object], known: frozenset[str], faults: Faults
) -> dict[str, object]:
    """Return what is given, under the fields' proper names; unknown names become faults."""
    given = {key: value for key, value in data.items() if value is not None and value != ""}
    if given.keys() <= known:
        return given
    for alias, field in ALIASES.items():
        if alias not in given or alias in known or field not in known:
            continue
        value = given.pop(alias)
        if field not in given:
            given[field] = value
            faults.names[field] = alias
        elif given[field] != value:
            faults.add(clip(alias), "conflict", f'"{alias}" and "{field}" differ; give one.')
    if not given.keys() <= known:
        faults.add_unknown("", given, known)
    return given


def read_content(
    given: dict[str, object], faults: Faults, *, now: datetime, limits: Limits
) -> Arguments:
    """Return all arguments of a message but its envelope."""
    arguments: Arguments = {
        "headers": fields.read_headers(given.get("headers"), faults),
        "tags": fields.read_tags(given.get("tags"), faults),
        "metadata": fields.read_metadata(given.get("metadata"), faults),
    }
    _read_sender(given, faults, arguments)
    _read_bodies(given, faults, arguments)
    _read_timing(given, faults, arguments, now)
    _read_class(given, faults, arguments)
    _read_options(given, faults, arguments)
    arguments["attachments"] = read_attachments(given.get("attachments"), faults, limits)
    _check_size(arguments, faults, limits)
    return arguments


def read_context(value: object, faults: Faults) -> dict[str, Any] | None:
    """Return the template variables, None if not given."""
    return fields.read_object(value, "context", faults, max_bytes=fields.MAX_CONTEXT_BYTES)


def read_locale(value: object, faults: Faults) -> str:
    """Return a language tag with hyphens, empty if not given."""
    rule = 'Use a language tag such as "pt-BR".'
    return fields.read_pattern(value, "locale", faults, fields.LOCALE, rule).replace("_", "-")


def read_send_at(value: object, faults: Faults, now: datetime) -> datetime | None:
    """Return when to send, None for at once; a moment in the past means at once."""
    moment = fields.read_moment(value, "send_at", faults)
    if moment is None or moment <= now:
        return None
    if moment - now > MAX_SCHEDULE_AHEAD:
        faults.add("send_at", "out_of_range", "A message can wait for one year at the most.")
    return moment


def check_expiry(
    expires_at: datetime | None, send_at: datetime | None, faults: Faults, now: datetime
) -> None:
    """Record a fault if the message would expire before it may be sent."""
    if expires_at is not None and expires_at <= (send_at or now):
        faults.add("expires_at", "out_of_range", "This must lie in the future and after send_at.")


def _read_sender(given: dict[str, object], faults: Faults, arguments: Arguments) -> None:
    sender = read_address(given.get("from"), "from", faults)
    name = ""
    if "from_name" in given:
        try:
            name = check_name(given["from_name"])
        except AddressError as error:
            faults.add("from_name", error.code, error.message)
    if sender and name and sender.name not in {"", name}:
        faults.add("from_name", "conflict", '"from" already holds another name; give one.')
    if sender and name:
        sender = Address(sender.email, name)
    if len(sender.name if sender else name) > MAX_SENDER_NAME_CHARS:
        field = "from_name" if name else "from"
        faults.add(field, "too_long", f"A name has at most {MAX_SENDER_NAME_CHARS} characters.")
    arguments["from_"] = sender
    arguments["from_name"] = "" if sender else name
    if "reply_to" in given:
        arguments["reply_to"] = read_reply_to(given["reply_to"], faults)


def _read_bodies(given: dict[str, object], faults: Faults, arguments: Arguments) -> None:
    subject = fields.read_line(
        given.get("subject"), "subject", faults, max_chars=MAX_SUBJECT_CHARS
    ).strip(" ")
    arguments["subject"] = subject
    arguments["context"] = read_context(given.get("context"), faults)
    if "locale" in given:
        arguments["locale"] = read_locale(given["locale"], faults)
    if "template" in given:
        _read_template(given, faults, arguments)
        return
    arguments["html"] = fields.read_body(given.get("html"), "html", faults)
    arguments["text"] = fields.read_body(given.get("text"), "text", faults)
    if arguments["context"] is None and _names_links(arguments["html"], arguments["text"]):
        # Whoever names a link of ours means it, and must not send the placeholder.
        arguments["context"] = {}
    if fields.is_blank(given.get("subject")):
        faults.add("subject", "required", "A subject is required, unless a template gives it.")
    if "html" not in given and "text" not in given:
        faults.add("html", "required", "Give html, text or both, or a template.")


def _names_links(*bodies: str) -> bool:
    return any(
        name in body and _LINKS.search(body) is not None
        for body in bodies
        for name in PERSONAL_VARIABLES
    )


def _read_template(given: dict[str, object], faults: Faults, arguments: Arguments) -> None:
    arguments["template"] = fields.read_pattern(
        given["template"], "template", faults, fields.TEMPLATE, "Use the id or slug of a template."
    )
    for field in ("html", "text"):
        if field in given:
            faults.add(field, "conflict", "Give either a template or html and text.")


def _read_timing(
    given: dict[str, object], faults: Faults, arguments: Arguments, now: datetime
) -> None:
    if "send_at" in given:
        arguments["send_at"] = read_send_at(given["send_at"], faults, now)
    if "expires_at" in given:
        arguments["expires_at"] = fields.read_moment(given["expires_at"], "expires_at", faults)
        check_expiry(arguments["expires_at"], arguments.get("send_at"), faults, now)


def _read_class(given: dict[str, object], faults: Faults, arguments: Arguments) -> None:
    if "email_type" in given:
        arguments["email_type"] = fields.read_pattern(
            given["email_type"],
            "email_type",
            faults,
            fields.EMAIL_TYPE,
            "Use lower-case letters, digits, hyphens and underscores.",
        )
    if "list" in given:
        arguments["list_key"] = fields.read_pattern(
            given["list"],
            "list",
            faults,
            fields.LIST,
            "Use 1 to 64 letters, digits, hyphens and underscores.",
        )


def _read_options(given: dict[str, object], faults: Faults, arguments: Arguments) -> None:
    if "priority" in given:
        arguments["priority"] = fields.read_priority(given["priority"], "priority", faults)
    if "sequence_key" in given:
        arguments["sequence_key"] = fields.read_sequence_key(given["sequence_key"], faults)
    if "provider_id" in given:
        arguments["provider_id"] = fields.read_uuid(given["provider_id"], "provider_id", faults)
    for flag in ("track_opens", "track_clicks", "validate"):
        if flag in given:
            arguments[flag] = fields.read_flag(given[flag], flag, faults)
    if fields.read_flag(given.get("encrypt"), "encrypt", faults):
        # Never send in clear what was asked to be encrypted.
        faults.add("encrypt", "not_available", "Encryption is not available yet.")


def _check_size(arguments: Arguments, faults: Faults, limits: Limits) -> None:
    html, text = arguments.get("html", ""), arguments.get("text", "")
    attached = encoded_bytes(arguments["attachments"])
    # A character has at most four octets; most messages need no closer look.
    if attached + 4 * (len(html) + len(text)) <= limits.max_message_bytes:
        return
    total = attached + len(html.encode()) + len(text.encode())
    if total > limits.max_message_bytes:
        faults.add(
            "attachments" if attached else "html" if html else "text",
            "too_large",
            f"The message has {total} bytes after encoding, "
            f"at most {limits.max_message_bytes} are allowed.",
        )
