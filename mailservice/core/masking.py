"""Secrets that stand in addresses of pages, kept out of logs."""

from __future__ import annotations

import logging
import re

#: Paths whose next part is a credential: whoever reads it in a log could confirm or unsubscribe in
#: somebody's name, post made-up events, make up opens and clicks, or fetch a file.
_SECRET = re.compile(
    r"""
    (?P<kept>
      (?:/|%2F) (?:
        (?:verify|u) (?:/|%2F)
      | hooks (?:/|%2F) [^\s/?\#"'<>&%]+ (?:/|%2F)
        # A letter is not much: what follows has to look like a token too.
      | [co] (?:/|%2F) (?=[\w-]{40})
      )
    | (?:[?&;]|%3F|%26) token (?:=|%3D)
    )
    [^\s/?\#"'<>&]+
    """,
    re.IGNORECASE | re.VERBOSE | re.ASCII,
)


def mask_secrets(text: str) -> str:
    """Return the text with dots for the secrets of links."""
    return _SECRET.sub(r"\g<kept>…", text)


class MaskingFormatter(logging.Formatter):
    """Writes lines without the secrets of links, in message and traceback alike."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return mask_secrets(super().format(record))
