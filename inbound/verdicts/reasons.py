"""The verdicts, and why they are given, in words."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Verdict(StrEnum):
    """Who it was."""

    PERSON = "person"
    #: A person whose mail program has a server fetch the images.
    PROXY = "proxy"
    #: A machine that looks for harm, or a program.
    SCANNER = "scanner"
    #: A machine that fetches ahead of a person, who may never come.
    PREFETCH = "prefetch"


#: Behind these there is a person who read the mail.
HUMAN = frozenset({Verdict.PERSON, Verdict.PROXY})

#: Reason codes as they are stored, in words.
REASONS: Mapping[str, str] = {
    "no_sign": "no sign of a machine",
    "provider_says": "the provider itself says so",
    "flood": "more than a person asks for: further ones within that minute are not kept",
    "head": "asked for the head only",
    "prefetch_header": "said itself that it fetches ahead",
    "apple_privacy": "Apple Mail fetches all images ahead",
    "no_agent": "told no program's name",
    "program": "a program, no browser",
    "security_agent": "a security product by its name",
    "crawler": "a crawler or preview by its name",
    "burst": "several links of the mail within seconds",
    "all_links": "every link of the mail within seconds",
    "too_soon": "clicked within seconds of sending",
    "image_proxy": "the mailbox provider's image server",
    "proxy_at_once": "the image server, within seconds of sending",
    "proxy_clicks": "an image server has no use for links",
    "security_network": "from a security provider's network",
    "data_centre": "from a data centre, where people have no mail programs",
}
