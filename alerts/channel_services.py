"""Channels: checking, saving, trying."""

from __future__ import annotations

import secrets as random
from typing import TYPE_CHECKING

from django.db import IntegrityError, transaction
from django.utils import timezone

from alerts.channels import tell
from alerts.models import AT_LEAST, Channel, ChannelKind, News, Severity
from alerts.queue import link_to_all
from alerts.words import Item, Letter
from mailservice.core.addresses import AddressError, parse_email
from mailservice.core.errors import ConflictError, InvalidInputError, NotFoundError
from mailservice.core.http import InvalidUrlError, parse_url
from mailservice.core.signing import parse_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from uuid import UUID

MAX_ADDRESSES = 20
MAX_KINDS = 20
#: What each kind keeps secret.
SECRET_NAMES = {
    ChannelKind.MAIL: (),
    ChannelKind.SLACK: ("url",),
    ChannelKind.WEBHOOK: ("url", "signing_secret"),
}
_COLUMNS = (
    "name",
    "kind",
    "addresses",
    "secrets",
    "min_severity",
    "kinds",
    "tells_closing",
    "is_active",
    "updated_at",
)

Fault = tuple[str, str, str]


def channel_faults(channel: Channel, secrets: Mapping[str, str]) -> list[Fault]:
    """Return what is wrong with a channel as (field, code, message); `secrets` is all it has."""
    return [
        *_name_faults(channel),
        *_address_faults(channel),
        *_secret_faults(channel, secrets),
        *_filter_faults(channel),
    ]


def save_channel(channel: Channel, *, secrets: Mapping[str, str | None]) -> Channel:
    """Save a new or changed channel; of `secrets` None removes, an absent one stays.

    Raises `InvalidInputError`, and `ConflictError` if the name is taken.
    """
    is_new = channel._state.adding  # noqa: SLF001 - Django's own way to ask
    kept = {} if is_new else (channel.secrets or {})
    merged = {
        name: value
        for name, value in {**kept, **secrets}.items()
        if value and name in SECRET_NAMES.get(ChannelKind(channel.kind), ())
    }
    faults = channel_faults(channel, merged)
    if faults:
        raise InvalidInputError.for_fields(faults)
    channel.secrets = merged or None
    channel.name = channel.name.strip()
    try:
        with transaction.atomic():
            # A worker may have the channel just now; its lease is not ours to write.
            channel.save(force_insert=is_new, update_fields=None if is_new else _COLUMNS)
    except IntegrityError as error:
        raise ConflictError(f"There is a channel “{channel.name}” already.") from error
    return channel


def delete_channel(channel_id: UUID) -> None:
    """Delete a channel and the record of what it was told."""
    Channel.objects.filter(pk=channel_id).delete()


def try_channel(channel_id: UUID) -> None:
    """Tell a channel that all is well, now. Raises `TellError` or `NotFoundError`."""
    channel = Channel.objects.filter(pk=channel_id).first()
    if channel is None:
        raise NotFoundError("There is no such channel.")
    now = timezone.now()
    item = Item(
        id="test",
        event=News.OPENED,
        kind="test",
        subject=channel.name,
        severity=Severity.WARNING,
        title="This is a test alert",
        detail="Nothing is wrong. Whoever reads this is told of alerts.",
        link=link_to_all(),
        opened_at=now,
        last_at=now,
        count=1,
    )
    letter_id = f"alert_test_{random.token_hex(8)}"
    tell(channel, Letter(letter_id, [item], link_to_all(), is_test=True))


def _name_faults(channel: Channel) -> Iterator[Fault]:
    if not channel.name.strip():
        yield "name", "required", "Give it a name."
    elif len(channel.name) > 100 or "\x00" in channel.name:  # noqa: PLR2004 - the column's
        yield "name", "too_long", "Use at most 100 characters."
    if channel.kind not in ChannelKind.values:
        yield "kind", "invalid", f"Use one of: {', '.join(ChannelKind.values)}."


def _address_faults(channel: Channel) -> Iterator[Fault]:
    if channel.kind != ChannelKind.MAIL:
        return
    if not channel.addresses:
        yield "addresses", "required", "Name at least one address."
    if len(channel.addresses) > MAX_ADDRESSES:
        yield "addresses", "too_long", f"Name at most {MAX_ADDRESSES} addresses."
    for place, address in enumerate(channel.addresses):
        try:
            parse_email(address)
        except AddressError as error:
            yield f"addresses[{place}]", error.code, f"{address}: {error.message}"


def _secret_faults(channel: Channel, secrets: Mapping[str, str]) -> Iterator[Fault]:
    if channel.kind == ChannelKind.MAIL:
        return
    url = secrets.get("url", "")
    if not url:
        yield "url", "required", "Give the URL to which alerts are posted."
        return
    try:
        parse_url(url)
    except InvalidUrlError as error:
        yield "url", "invalid", error.message
    if secrets.get("signing_secret"):
        try:
            parse_secret(secrets["signing_secret"])
        except ValueError as error:
            yield "signing_secret", "invalid", str(error)


def _filter_faults(channel: Channel) -> Iterator[Fault]:
    if channel.min_severity not in AT_LEAST:
        yield "min_severity", "invalid", f"Use {' or '.join(Severity.values)}."
    if len(channel.kinds) > MAX_KINDS:
        yield "kinds", "too_long", f"Name at most {MAX_KINDS}."
    for place, prefix in enumerate(channel.kinds):
        if not prefix or len(prefix) > 60 or not prefix.replace(".", "").replace("_", "").isalnum():  # noqa: PLR2004 - the column's
            yield f"kinds[{place}]", "invalid", f"{prefix!r} begins no kind of alert."
