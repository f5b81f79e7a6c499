"""multipart/form-data: the same fields as in JSON, with files as attachments.

Either one part `message` (or `data`) holds the JSON object, or each field is a part of its own:
`to`, `cc`, `bcc`, `reply_to` and `tags` may repeat; `context`, `headers` and `metadata` hold JSON;
`priority` is a number; flags are `true` or `false`. Files come as `attachments` or `inline`, both
repeatable; `[]` after a name is allowed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from delivery.intake.attachments import MAX_ATTACHMENTS
from delivery.intake.faults import Faults
from delivery.intake.message import ALIASES, FIELDS

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile
    from django.utils.datastructures import MultiValueDict

    from delivery.intake.shapes import Limits

    Parts = MultiValueDict[str, str]
    Files = MultiValueDict[str, UploadedFile[bytes]]

_JSON_PARTS = ("message", "data")
_REPEATABLE = frozenset({"to", "recipients", "cc", "bcc", "reply_to", "tags"})
_AS_JSON = frozenset(
    [
        "context",
        "headers",
        "metadata",
        "priority",
        "track_opens",
        "track_clicks",
        "encrypt",
        "validate",
    ]
)
_FILE_PARTS = {"attachments": "attachment", "attachment": "attachment", "inline": "inline"}


def from_multipart(post: Parts, files: Files, *, limits: Limits) -> dict[str, object]:
    """Return the object that `parse_message` expects; files become `attachments` with bytes.

    Raises `InvalidInputError`; also before reading, if the files alone exceed the message size.
    """
    faults = Faults()
    json_parts = [part for part in _JSON_PARTS if part in post or part in files]
    data = _whole(json_parts, post, files, faults) if json_parts else _flat(post, faults)
    attached = _attached(files, json_parts, faults, limits)
    faults.raise_if_any()
    given = data.get("attachments")
    if attached and (given is None or isinstance(given, list)):  # else parse_message refuses it
        data["attachments"] = [*(given or ()), *attached]
    return data


def _whole(
    json_parts: list[str],
    post: Parts,
    files: Files,
    faults: Faults,
) -> dict[str, object]:
    part = json_parts[0]
    beside = sorted({*post.keys(), *json_parts} - {part})
    for name in beside:
        faults.add(name, "conflict", f'All fields belong into the part "{part}".')
    texts = post.getlist(part)
    data = _json(texts[0] if texts else files.getlist(part)[0].read(), part, faults)
    if isinstance(data, dict):
        return data
    if not faults:
        faults.add(part, "invalid_type", "This must be a JSON object.")
    return {}


def _flat(post: Parts, faults: Faults) -> dict[str, object]:
    data: dict[str, object] = {}
    known = (FIELDS | ALIASES.keys()) - {"attachments"}
    for part, values in post.lists():
        name = part.removesuffix("[]")
        if name not in known:
            faults.add_unknown("", [name], known)
        elif name in _REPEATABLE:
            data[name] = [value for value in values if value]
        elif len(values) > 1:
            faults.add(name, "duplicate", "This part is given more than once.")
        else:
            value = values[0]
            data[name] = _json(value, name, faults) if name in _AS_JSON and value else value
    return data


def _json(body: str | bytes, part: str, faults: Faults) -> object:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        faults.add(part, "malformed_json", f"This is not valid JSON: {error}.")
        return None


def _attached(
    files: Files,
    json_parts: list[str],
    faults: Faults,
    limits: Limits,
) -> list[dict[str, object]]:
    chosen: list[tuple[str, UploadedFile[bytes]]] = []
    for part, uploads in files.lists():
        disposition = _FILE_PARTS.get(part.removesuffix("[]"))
        if disposition:
            chosen += [(disposition, upload) for upload in uploads]
        elif part not in json_parts:
            faults.add_unknown("", [part], _FILE_PARTS)
    if len(chosen) > MAX_ATTACHMENTS:
        faults.add("attachments", "too_many", f"At most {MAX_ATTACHMENTS} are allowed.")
    elif sum(upload.size or 0 for _, upload in chosen) > limits.max_message_bytes:
        faults.add(
            "attachments", "too_large", f"A message has at most {limits.max_message_bytes} bytes."
        )
    if faults:
        return []
    return [_attachment(disposition, upload) for disposition, upload in chosen]


def _attachment(disposition: str, upload: UploadedFile[bytes]) -> dict[str, object]:
    return {
        "filename": upload.name,
        "content_type": upload.content_type,
        "content": upload.read(),
        "disposition": disposition,
    }
