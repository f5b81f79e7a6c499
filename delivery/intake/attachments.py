"""Readers of attachments: base64 or bytes or a reference to an upload, names, types and sizes."""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from mimetypes import MimeTypes
from typing import TYPE_CHECKING

from delivery.intake.faults import Faults
from delivery.intake.fields import is_blank, read_line, read_pattern, read_uuid
from delivery.intake.shapes import AttachmentInput, Disposition

if TYPE_CHECKING:
    from uuid import UUID

    from delivery.intake.shapes import Limits

MAX_ATTACHMENTS = 50
MAX_FILENAME_CHARS = 255

_BLOCKED = (
    "ade adp apk appx appxbundle bat cab chm cmd com cpl dll dmg ex ex_ exe hta ins isp iso jar js "
    "jse lib lnk mde msc msi msix msixbundle msp mst nsh pif ps1 scr sct shb sys vb vbe vbs vhd "
    "vxd wsc wsf wsh xll"
)
#: Files that mail programs run or that large mailbox providers refuse outright.
BLOCKED_EXTENSIONS = frozenset(_BLOCKED.split())

_FIELDS = frozenset(
    {"filename", "content", "content_type", "upload_id", "id", "disposition", "content_id"}
)
#: The fields of a file uploaded by itself.
_UPLOAD_FIELDS = frozenset({"filename", "content", "content_type"})
# RFC 6838 §4.2, and parameters (RFC 2045 §5.1), which are dropped: the mail carries the type.
_NAME = r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,62}"
_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_CONTENT_TYPE = re.compile(
    rf'(?=.{{3,500}}\Z){_NAME}/{_NAME}(?: *; *{_WORD}=(?:{_WORD}|"[ !#-\[\]-~]*"))*\Z', re.ASCII
)
_CONTENT_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.@-]{1,200}\Z")
_SPACES = re.compile(r"[ \t\r\n]+")
# Characters that turn the reading direction: they make "gpj.exe" look like "exe.jpg".
_TURNS_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")
# No files of the host: the same name has the same type everywhere.
_TYPES = MimeTypes()
_FALLBACK_TYPE = "application/octet-stream"
_BASE64_LINE = 76


def read_attachments(value: object, faults: Faults, limits: Limits) -> tuple[AttachmentInput, ...]:
    """Return the attachments of a message, in order."""
    if value is None:
        return ()
    if not isinstance(value, list):
        faults.add("attachments", "invalid_type", "This must be a list of objects.")
        return ()
    if len(value) > MAX_ATTACHMENTS:
        faults.add("attachments", "too_many", f"At most {MAX_ATTACHMENTS} are allowed.")
        return ()
    attachments = []
    seen: set[str] = set()
    for index, item in enumerate(value):
        path = f"attachments[{index}]"
        if not isinstance(item, dict):
            faults.add(path, "invalid_type", "This must be an object.")
            continue
        attachment = _Reader(item, path, faults).read(index, limits)
        attachments.append(attachment)
        if attachment.content_id and attachment.content_id in seen:
            faults.add(f"{path}.content_id", "duplicate", "Another attachment has this content_id.")
        seen.add(attachment.content_id)
    return tuple(attachments)


def encoded_bytes(attachments: tuple[AttachmentInput, ...]) -> int:
    """Return what the inline contents weigh in the mail: base64 in lines of 76 and CRLF."""
    total = 0
    for attachment in attachments:
        if attachment.content:
            encoded = -(-len(attachment.content) // 3) * 4
            total += encoded + 2 * -(-encoded // _BASE64_LINE)
    return total


def read_upload(data: dict[str, object], *, limits: Limits) -> AttachmentInput:
    """Return a file uploaded by itself: `filename`, `content`, `content_type`.

    Raises `InvalidInputError` with every fault.
    """
    faults = Faults()
    faults.add_unknown("", data, _UPLOAD_FIELDS)
    known = {key: value for key, value in data.items() if key in _UPLOAD_FIELDS}
    file = _Reader(known, "", faults).read(0, limits)
    faults.raise_if_any()
    return file


class _Reader:
    """Reads one attachment object; `path` leads to it and is empty for a file by itself."""

    def __init__(self, data: dict[str, object], path: str, faults: Faults) -> None:
        self.data = {
            key: item
            for key, item in data.items()
            if item is not None and (item != "" or key == "content")
        }
        self.prefix = f"{path}." if path else ""
        self.faults = faults

    def read(self, index: int, limits: Limits) -> AttachmentInput:
        if not self.data.keys() <= _FIELDS:
            self.faults.add_unknown(self.prefix, self.data, _FIELDS)
        upload_id = self._upload_id()
        content = self._content(limits.max_attachment_bytes)
        if not self.data.keys() & {"content", "upload_id", "id"}:
            self._fault("content", "required", "Give the content in base64, or an upload_id.")
        if upload_id is not None and "content" in self.data:
            self._fault("upload_id", "conflict", "Give either content or upload_id.")
        filename = self._filename(is_required=upload_id is None)
        disposition = self._disposition()
        return AttachmentInput(
            filename=filename,
            content_type=self._content_type("" if upload_id else filename),
            content=content,
            upload_id=upload_id,
            disposition=disposition,
            content_id=self._content_id(disposition, filename, index),
        )

    def _fault(self, field: str, code: str, message: str) -> None:
        self.faults.add(f"{self.prefix}{field}", code, message)

    def _upload_id(self) -> UUID | None:
        short = self.data.get("id")
        value = self.data.get("upload_id", short)
        if short is not None and short != value:
            self._fault("id", "conflict", '"id" and "upload_id" differ; give one.')
        return read_uuid(value, f"{self.prefix}upload_id", self.faults)

    def _content(self, max_bytes: int) -> bytes | None:
        value = self.data.get("content")
        if value is None:
            return None
        if isinstance(value, bytes):  # a file of a multipart request
            content: bytes | None = value
        elif isinstance(value, str):
            content = self._decode(value, max_bytes)
        else:
            self._fault("content", "invalid_type", "This must be a string in base64.")
            return None
        if content is not None and len(content) > max_bytes:
            self._too_large(max_bytes)
            return None
        return content

    def _decode(self, text: str, max_bytes: int) -> bytes | None:
        if text[:5].lower() == "data:":
            self._fault("content", "invalid", "Give base64 only, without the data: prefix.")
            return None
        text = _SPACES.sub("", text)
        if len(text) // 4 * 3 - 2 > max_bytes:
            self._too_large(max_bytes)
            return None
        try:
            return a2b_base64(text, strict_mode=True)
        except (Base64Error, ValueError):
            self._fault("content", "invalid_base64", "This is not valid base64 with padding.")
            return None

    def _too_large(self, max_bytes: int) -> None:
        self._fault("content", "too_large", f"An attachment has at most {max_bytes} bytes.")

    def _filename(self, *, is_required: bool) -> str:
        path = f"{self.prefix}filename"
        given = self.data.get("filename", "")
        name = read_line(given, path, self.faults, max_chars=MAX_FILENAME_CHARS).strip()
        extension = name.rstrip(". ").rpartition(".")[2].lower()
        if not name:
            if is_required and is_blank(given):
                self.faults.add(path, "required", "A filename is required.")
        elif "/" in name or "\\" in name or name in {".", ".."} or _TURNS_DIRECTION.search(name):
            self.faults.add(path, "invalid", "Give a plain file name, without a path.")
        elif "." in name and extension in BLOCKED_EXTENSIONS:
            self.faults.add(
                path, "blocked_type", f'Files of type ".{extension}" are refused by mail providers.'
            )
        return name

    def _content_type(self, filename: str) -> str:
        given = read_pattern(
            self.data.get("content_type"),
            f"{self.prefix}content_type",
            self.faults,
            _CONTENT_TYPE,
            "Use a media type such as application/pdf.",
        )
        if given.lower().startswith("multipart/"):
            self._fault("content_type", "invalid", "An attachment cannot be multipart.")
        given = given.partition(";")[0].rstrip()
        return given or (guess_content_type(filename) if filename else "")

    def _disposition(self) -> Disposition:
        value = self.data.get("disposition")
        if value is None:
            has_id = "content_id" in self.data
            return Disposition.INLINE if has_id else Disposition.ATTACHMENT
        if isinstance(value, str) and value in {"attachment", "inline"}:
            return Disposition(value)
        self._fault("disposition", "invalid", 'Use "attachment" or "inline".')
        return Disposition.ATTACHMENT

    def _content_id(self, disposition: Disposition, filename: str, index: int) -> str:
        value = self.data.get("content_id")
        if isinstance(value, str) and value.startswith("<") and value.endswith(">"):
            value = value[1:-1]
        rule = "Use letters, digits and .-_@ without spaces, as in the cid: link."
        given = read_pattern(value, f"{self.prefix}content_id", self.faults, _CONTENT_ID, rule)
        if disposition != Disposition.INLINE:
            return given
        return given or (filename if _CONTENT_ID.match(filename) else f"inline-{index + 1}")


def guess_content_type(filename: str) -> str:
    """Return the media type a file name stands for, `application/octet-stream` if unknown."""
    kind, encoding = _TYPES.guess_type(filename)
    if encoding == "gzip":
        return "application/gzip"
    return _FALLBACK_TYPE if encoding or not kind else kind
