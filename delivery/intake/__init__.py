"""From a decoded request to a frozen message, or to one error that lists every fault.

Pure: no database, no clock, no settings. Whether a template, a provider or an upload exists is the
services' question.
"""

from delivery.intake.attachments import read_upload
from delivery.intake.batch import parse_batch
from delivery.intake.message import parse_message
from delivery.intake.multipart import from_multipart
from delivery.intake.shapes import (
    AttachmentInput,
    BatchInput,
    BatchItem,
    Disposition,
    Limits,
    MessageInput,
)

__all__ = [
    "AttachmentInput",
    "BatchInput",
    "BatchItem",
    "Disposition",
    "Limits",
    "MessageInput",
    "from_multipart",
    "parse_batch",
    "parse_message",
    "read_upload",
]
