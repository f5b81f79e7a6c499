"""The one place from which this app raises alerts."""

from __future__ import annotations

from alerts.services import close_alert, open_alert

FAILING = "domain.failing"


def tell_failing(*, subject: str, title: str, detail: str, link: str) -> None:
    """Report that checks of a sender domain fail; as often as one likes."""
    open_alert(
        kind=FAILING,
        subject=subject,
        severity="warning",
        title=title,
        detail=detail,
        link=link,
    )


def tell_mended(*, subject: str) -> None:
    """Report that they pass again, or that the domain is gone."""
    close_alert(kind=FAILING, subject=subject)
