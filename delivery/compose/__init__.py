"""From content and message to the bytes on the wire. No database, no clock, no network."""

from delivery.compose.content import CompiledContent, compile_content
from delivery.compose.encoded import Encoded, EncodedFiles, SpoolError, encode_file
from delivery.compose.errors import ComposeError
from delivery.compose.marks import Marks
from delivery.compose.source import AttachmentSource, ContentSource, MailFields
from templates_app.rendering import Rendered as Preview

__all__ = [
    "AttachmentSource",
    "CompiledContent",
    "ComposeError",
    "ContentSource",
    "Encoded",
    "EncodedFiles",
    "MailFields",
    "Marks",
    "Preview",
    "SpoolError",
    "compile_content",
    "encode_file",
]
