"""Where an account's API is: providers with one address per region, and other special cases."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.adapters.esp.fields import Field, FieldType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAILGUN = {"us": "https://api.mailgun.net/v3/", "eu": "https://api.eu.mailgun.net/v3/"}
SENDGRID = {"global": "https://api.sendgrid.com/v3/", "eu": "https://api.eu.sendgrid.com/v3/"}
SPARKPOST = {
    "us": "https://api.sparkpost.com/api/v1/",
    "eu": "https://api.eu.sparkpost.com/api/v1/",
}
_LABELS = {"us": "United States", "eu": "European Union", "global": "Global"}
_MAILTRAP = "https://send.api.mailtrap.io/api/"
_MAILTRAP_SANDBOX = "https://sandbox.api.mailtrap.io/api/"
_SCALEWAY = "https://api.scaleway.com/transactional-email/v1alpha1/regions/{region}/"


def fields(regions: Mapping[str, str]) -> tuple[Field, ...]:
    """Return the choice of a region and the address that replaces it."""
    return (
        Field(
            "region",
            "Region",
            "Where the account was opened.",
            FieldType.CHOICE,
            default=next(iter(regions)),
            choices=tuple((name, _LABELS[name]) for name in regions),
        ),
        Field(
            "api_url",
            "API address",
            "Only for a proxy or a test server. Empty: the region's.",
            FieldType.URL,
        ),
    )


def arranger(regions: Mapping[str, str]) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    """Return what finds the address of an account with such a region."""

    def arranged(given: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"api_url": given.get("api_url") or regions[given["region"]]}

    return arranged


def mailtrap(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return where a Mailtrap account sends to."""
    usual = _MAILTRAP_SANDBOX if given.get("sandbox_id") else _MAILTRAP
    return {"api_url": given.get("api_url") or usual, "sandbox_id": given.get("sandbox_id")}


def scaleway(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return where a Scaleway project sends to."""
    return {"api_url": given.get("api_url") or _SCALEWAY}


def sparkpost(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return where a SparkPost account sends to, and for whom."""
    number = given.get("subaccount")
    # It becomes a header's value.
    subaccount = None if number is None else str(number)
    return {**arranger(SPARKPOST)(given), "subaccount": subaccount}
