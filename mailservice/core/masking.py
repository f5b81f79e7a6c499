"""Secrets that stand in addresses of pages, kept out of logs."""

from __future__ import annotations

import logging
import re

# The link of a verification: whoever reads it in a log could confirm in somebody's name.
_SECRET_PATH = re.compile(r"((?:/|%2F)(?:verify|u)(?:/|%2F))[^\s/?#\"'<>&]+", re.IGNORECASE)


def mask_secrets(text: str) -> str:
    """Return the text with dots for the secrets of links."""
    return _SECRET_PATH.sub(r"\1…", text)


class MaskingFormatter(logging.Formatter):
    """Writes lines without the secrets of links, in message and traceback alike."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return mask_secrets(super().format(record))
