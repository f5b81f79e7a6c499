"""Variables that every mail to one recipient gets without its sender's doing."""

from __future__ import annotations

from templates_app.engine.locales import PERSONAL_LINKS

#: The recipient's own links: to unsubscribe, and to choose what to get.
VARIABLES = PERSONAL_LINKS


def sample_links(public_url: str) -> dict[str, str]:
    """Return what stands for the links where there is no recipient: they lead to a page of ours."""
    address = f"{public_url}/u/sample"
    return dict(zip(VARIABLES, (address, f"{address}/preferences"), strict=True))
