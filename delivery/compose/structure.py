"""What is the same in every mail of a content: multiparts, boundaries, the heads of its files.

A mail reads: header fields, `opening`, the text part, `between` and the HTML part if there is one,
then `ending`, in which the files stand between constant octets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from delivery.compose.files import check_file, file_head
from providers.mail_data import LargeData

if TYPE_CHECKING:
    from collections.abc import Iterator

    from delivery.compose.source import AttachmentSource, ContentSource
    from providers.mail_data import MailData

#: A mail with files that is no larger is joined into one piece.
MAX_JOINED_BYTES = 131_072


class Structure:
    """The constant octets of a content's mails. Raises `ComposeError` for an unfit file."""

    __slots__ = ("_ending", "between", "closing", "has_files", "opening")

    def __init__(self, source: ContentSource, boundary: str) -> None:
        for item in source.attachments:
            check_file(item)
        has_html = bool(source.html)
        related = [item for item in source.attachments if has_html and item.disposition == "inline"]
        attached = [item for item in source.attachments if item not in related]
        # Numbered as the parts stand in the mail: the text part comes between the last two.
        mixed = _Multipart("mixed", boundary, 0, is_used=bool(attached))
        alternative = _Multipart("alternative", boundary, int(bool(attached)), is_used=has_html)
        inner = _Multipart("related", boundary, int(bool(attached)) + 2, is_used=bool(related))
        #: Before the text part.
        self.opening = b"MIME-Version: 1.0\r\n" + mixed.opening + alternative.opening
        #: Between text and HTML part.
        self.between = alternative.delimiter + inner.opening
        self._ending = (
            *_parts(related, inner.delimiter),
            inner.closing + alternative.closing,
            *_parts(attached, mixed.delimiter),
            mixed.closing,
        )
        self.has_files = bool(source.attachments)
        #: After the last text, if no file follows.
        self.closing = alternative.closing

    def with_files(self, text: bytes) -> MailData:
        """Return the mail of which `text` is all up to the files.

        Raises what encoding a file raises.
        """
        ending = (part if isinstance(part, bytes) else part.encoded() for part in self._ending)
        mail = LargeData((text, *ending))
        return bytes(mail) if len(mail) <= MAX_JOINED_BYTES else mail


def _parts(items: list[AttachmentSource], delimiter: bytes) -> Iterator[bytes | AttachmentSource]:
    for item in items:
        yield delimiter + file_head(item)
        yield item


class _Multipart:
    """The lines of one multipart entity; all empty if the mail has none."""

    def __init__(self, subtype: str, boundary: str, number: int, *, is_used: bool) -> None:
        # No boundary may start with another one.
        own = boundary.replace("=_", f"=_{number}_") if number else boundary
        head = f'Content-Type: multipart/{subtype}; boundary="{own}"\r\n\r\n--{own}\r\n'
        self.opening = head.encode() if is_used else b""
        self.delimiter = f"\r\n--{own}\r\n".encode() if is_used else b""
        self.closing = f"\r\n--{own}--\r\n".encode() if is_used else b""
