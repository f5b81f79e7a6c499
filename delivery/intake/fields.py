"""Readers of single fields: each returns the value, or records a fault and returns the empty one.

None means "not given". Types are strict: a string is no number, a boolean is no integer.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from delivery.intake.faults import clip
from mailservice.core.headers import MAX_HEADERS, UNSAFE_IN_HEADER, HeaderError, check_header

if TYPE_CHECKING:
    from delivery.intake.faults import Faults

MAX_TAGS = 20
MAX_TAG_CHARS = 64
MAX_METADATA_KEYS = 50
MAX_METADATA_BYTES = 8 * 1024
MAX_CONTEXT_BYTES = 64 * 1024
MAX_SEQUENCE_KEY_CHARS = 200
LOWEST_PRIORITY = 5

EMAIL_TYPE = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")
#: The slug of a mailing list.
LIST = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
#: BCP 47 in outline: language and subtags; underscores are taken for hyphens.
LOCALE = re.compile(r"[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8}){0,5}\Z")
#: Id or slug of a template.
TEMPLATE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}\Z")
_EXAMPLE_MOMENT = "2030-01-31T09:00:00+01:00"
_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\Z")


def read_line(value: object, path: str, faults: Faults, *, max_chars: int) -> str:
    """Return text fit for a header: one line, no control characters."""
    if value is None:
        return ""
    if not isinstance(value, str):
        faults.add(path, "invalid_type", "This must be a string.")
    elif UNSAFE_IN_HEADER.search(value):
        faults.add(path, "invalid_characters", "A line break or control character is not allowed.")
    elif len(value) > max_chars:
        faults.add(path, "too_long", f"At most {max_chars} characters are allowed.")
    else:
        return value
    return ""


def is_blank(value: object) -> bool:
    """Tell whether nothing was given, or spaces only."""
    return value is None or (isinstance(value, str) and not value.strip(" "))


def read_body(value: object, path: str, faults: Faults) -> str:
    """Return text of any length that the database and UTF-8 can hold."""
    if value is None:
        return ""
    if not isinstance(value, str):
        faults.add(path, "invalid_type", "This must be a string.")
        return ""
    if "\x00" in value or not _is_unicode(value):
        faults.add(path, "invalid_characters", "A NUL or a lone surrogate is not allowed.")
        return ""
    return value


def _is_unicode(value: str) -> bool:
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def read_pattern(
    value: object, path: str, faults: Faults, pattern: re.Pattern[str], rule: str
) -> str:
    """Return a string that matches `pattern` as a whole; `rule` says what is expected."""
    if value is None:
        return ""
    if not isinstance(value, str):
        faults.add(path, "invalid_type", "This must be a string.")
    elif not pattern.match(value):
        faults.add(path, "invalid", rule)
    else:
        return value
    return ""


def read_flag(value: object, path: str, faults: Faults) -> bool | None:
    """Return true, false, or None if not given."""
    if value is None or isinstance(value, bool):
        return value
    faults.add(path, "invalid_type", "This must be true or false.")
    return None


def read_priority(value: object, path: str, faults: Faults) -> int | None:
    """Return 1 to 5, or None if not given."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        faults.add(path, "invalid_type", "This must be a whole number from 1 (highest) to 5.")
    elif not 1 <= value <= LOWEST_PRIORITY:
        faults.add(path, "out_of_range", "The priority is a number from 1 (highest) to 5.")
    else:
        return value
    return None


def read_moment(value: object, path: str, faults: Faults) -> datetime | None:
    """Return a moment in UTC, given in ISO 8601 with offset or in seconds since 1970."""
    if value is None:
        return None
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
        elif isinstance(value, int) and not isinstance(value, bool):
            moment = datetime.fromtimestamp(value, UTC)
        else:
            faults.add(path, "invalid_type", f"Use a string such as {_EXAMPLE_MOMENT}.")
            return None
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        rule = f"Use ISO 8601 with offset, such as {_EXAMPLE_MOMENT}."
        if isinstance(value, int):
            rule = "Use whole seconds since 1970, not milliseconds."
        faults.add(path, "invalid", rule)
        return None
    faults.add(path, "no_offset", "The offset is missing: add Z or an offset such as +01:00.")
    return None


def read_uuid(value: object, path: str, faults: Faults) -> UUID | None:
    """Return an id, or None if not given."""
    if value is None:
        return None
    if isinstance(value, str) and _UUID.match(value):
        return UUID(value)
    faults.add(path, "invalid", "This must be an id in UUID form.")
    return None


def read_object(
    value: object, path: str, faults: Faults, *, max_bytes: int
) -> dict[str, Any] | None:
    """Return a JSON object that the database can hold, or None if not given."""
    if value is None:
        return None
    if not isinstance(value, dict):
        faults.add(path, "invalid_type", "This must be an object.")
        return None
    try:
        written = orjson.dumps(value)
    except TypeError as error:  # nesting, numbers beyond 64 bits, lone surrogates
        faults.add(path, "invalid", f"This cannot be stored: {error}.")
        return None
    if len(written) > max_bytes:
        faults.add(path, "too_large", f"At most {max_bytes} bytes of JSON are allowed.")
        return None
    if b"\\u0000" in written and _holds_nul(value):
        faults.add(path, "invalid_characters", "A NUL character is not allowed.")
        return None
    return value


def _holds_nul(value: object) -> bool:
    """Look closer: the six characters of an escaped NUL may also be innocent text."""
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, dict):
        return any(_holds_nul(key) or _holds_nul(item) for key, item in value.items())
    return isinstance(value, list) and any(map(_holds_nul, value))


def check_count(count: int, path: str, faults: Faults, *, limit: int) -> None:
    """Record a fault if there are too many entries."""
    if count > limit:
        faults.add(path, "too_many", f"At most {limit} entries are allowed, {count} given.")


def read_metadata(value: object, faults: Faults) -> dict[str, Any]:
    """Return the caller's own labels: names to strings, numbers, booleans or null."""
    metadata = read_object(value, "metadata", faults, max_bytes=MAX_METADATA_BYTES)
    if not metadata:
        return {}
    check_count(len(metadata), "metadata", faults, limit=MAX_METADATA_KEYS)
    for name, item in metadata.items():
        if isinstance(item, (dict, list)):
            faults.add(
                f"metadata.{clip(name)}", "invalid_type", "Lists and objects are not allowed here."
            )
    return metadata


def read_tags(value: object, faults: Faults) -> tuple[str, ...]:
    """Return the tags in order, each once."""
    if value is None:
        return ()
    if not isinstance(value, list):
        faults.add("tags", "invalid_type", "This must be a list of strings.")
        return ()
    if len(value) > MAX_TAGS:
        faults.add("tags", "too_many", f"At most {MAX_TAGS} tags are allowed.")
        return ()
    for index, tag in enumerate(value):
        if not isinstance(tag, str):
            faults.add(f"tags[{index}]", "invalid_type", "This must be a string.")
        elif not 1 <= len(tag) <= MAX_TAG_CHARS or not tag.isprintable() or tag.isspace():
            faults.add(
                f"tags[{index}]", "invalid", f"A tag has 1 to {MAX_TAG_CHARS} printable characters."
            )
    return () if faults else tuple(dict.fromkeys(value))


def read_sequence_key(value: object, faults: Faults) -> str:
    """Return the key that orders messages, empty if not given."""
    key = read_line(value, "sequence_key", faults, max_chars=MAX_SEQUENCE_KEY_CHARS)
    if key and (not key.isprintable() or key.isspace()):
        faults.add("sequence_key", "invalid", "Use printable characters.")
    return key


def read_headers(value: object, faults: Faults) -> dict[str, str]:
    """Return the custom header fields, checked; names are unique whatever their case."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        faults.add("headers", "invalid_type", "This must be an object of names and strings.")
        return {}
    if len(value) > MAX_HEADERS:
        faults.add("headers", "too_many", f"At most {MAX_HEADERS} headers are allowed.")
        return {}
    headers: dict[str, str] = {}
    seen: set[str] = set()
    for name, text in value.items():
        try:
            headers[name] = check_header(name, text)
        except HeaderError as error:
            faults.add(f"headers.{clip(name)}", error.code, error.message)
        if name.lower() in seen:
            faults.add(f"headers.{clip(name)}", "duplicate", "This header is given twice.")
        seen.add(name.lower())
    return headers
