"""Compiled contents at hand: a process compiles a content once, however many messages share it."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING

from delivery.blobs import blob_chunks
from delivery.compose import (
    AttachmentSource,
    CompiledContent,
    ContentSource,
    EncodedFiles,
    compile_content,
)
from delivery.models import Attachment, Content, Disposition
from mailservice.core.addresses import Address
from mailservice.core.errors import DomainError

if TYPE_CHECKING:
    from collections.abc import Collection
    from uuid import UUID

#: Contents kept per process.
MAX_CONTENTS = 500
#: Characters of source kept per process: compiled ones take about three times as much memory.
MAX_CHARACTERS = 10_000_000

#: Attachments as the mails of this process carry them, one for all contents with the same file.
_FILES = EncodedFiles()


def source_of(content: Content) -> ContentSource:
    """Return a content and its attachments as the composer's plain data."""
    return ContentSource(
        subject=content.subject,
        html=content.html,
        text=content.text,
        from_email=content.from_email,
        from_name=content.from_name,
        reply_to=tuple(Address(item["email"], item["name"]) for item in content.reply_to),
        headers={},
        is_template=content.is_template,
        locale=content.locale,
        inlines_css=content.inlines_css,
        attachments=tuple(_attachment(item) for item in content.attachments.all()),
        list_key=content.list_key,
        track_opens=content.track_opens,
        track_clicks=content.track_clicks,
    )


def _attachment(item: Attachment) -> AttachmentSource:
    return AttachmentSource(
        filename=item.filename,
        content_type=item.content_type,
        disposition="inline" if item.disposition == Disposition.INLINE else "attachment",
        content_id=item.cid,
        encoded=partial(_FILES.get, item.blob_id, partial(blob_chunks, item.blob.stored_as)),
    )


class ContentCache:
    """Least recently used contents of one process; used by its one draining thread."""

    def __init__(self) -> None:
        self._held: OrderedDict[UUID, tuple[int, CompiledContent | DomainError]] = OrderedDict()
        self._characters = 0

    def load(self, ids: Collection[UUID]) -> dict[UUID, CompiledContent | DomainError]:
        """Return the contents compiled; an error stands for one that cannot be composed."""
        missing = [content_id for content_id in set(ids) if content_id not in self._held]
        found: dict[UUID, CompiledContent | DomainError] = {}
        if missing:
            rows = Content.objects.filter(pk__in=missing).prefetch_related("attachments__blob")
            for content in rows:
                found[content.pk] = self._compile(content)
        for content_id in set(ids) - found.keys():
            if content_id in self._held:
                self._held.move_to_end(content_id)
                found[content_id] = self._held[content_id][1]
        self._evict()
        return found

    def _compile(self, content: Content) -> CompiledContent | DomainError:
        compiled: CompiledContent | DomainError
        try:
            compiled = compile_content(source_of(content))
        except DomainError as error:
            compiled = error
        size = len(content.html) + len(content.text) + len(content.subject)
        self._held[content.pk] = (size, compiled)
        self._characters += size
        return compiled

    def _evict(self) -> None:
        while len(self._held) > MAX_CONTENTS or self._characters > MAX_CHARACTERS:
            if len(self._held) <= 1:
                return
            _, (size, _) = self._held.popitem(last=False)
            self._characters -= size
