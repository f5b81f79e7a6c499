"""The cheapest split as it is told: by account, in words, and as targets of a rule."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from providers.amounts import amount_text, price_text
from providers.split import NoSplitError, cheapest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from uuid import UUID

    from providers.pricing import Pricing
    from providers.split import Account, Kind, Split


@dataclass(frozen=True)
class Row:
    """One account in the answer."""

    provider_id: UUID
    name: str
    mails: int
    percent: float
    #: Without the fee.
    nanos: int
    fee_nanos: int
    #: Mails its limits let through; None without limits.
    capacity: int | None
    #: Which price binds, or why it is left out.
    words: str
    present_mails: int | None
    #: Its fee included.
    present_nanos: int | None

    @property
    def total_nanos(self) -> int:
        """Return what it costs, the fee included."""
        return self.nanos + self.fee_nanos

    @property
    def nanos_per_thousand(self) -> int | None:
        """Return the average price of a thousand mails, the fee included."""
        return self.total_nanos * 1_000 // self.mails if self.mails else None


@dataclass(frozen=True)
class Suggestion:
    """The targets of a rule that splits mail by weight."""

    #: Empty for all mail.
    email_types: Sequence[str]
    #: (account, name, weight), the heaviest first.
    targets: Sequence[tuple[UUID, str, int]]


@dataclass(frozen=True)
class Plan:
    """The cheapest split, what it saves, and how to get it."""

    month: date
    volume: int
    is_forecast: bool
    rows: Sequence[Row]
    nanos: int
    #: No split is cheaper by more than this; 0: it is the cheapest.
    gap_nanos: int
    #: What the shares of the last 30 days would cost; None if there was no mail.
    present_nanos: int | None
    #: The present split would be more than the limits of some account let through.
    is_present_too_much: bool
    suggestions: Sequence[Suggestion]
    #: What the answer does not know of.
    remarks: Sequence[str]

    @property
    def saved_nanos(self) -> int | None:
        """Return what the split saves; None without a present one."""
        return None if self.present_nanos is None else self.present_nanos - self.nanos

    @property
    def saved_percent(self) -> float | None:
        """Return what it saves of the present cost."""
        if not self.present_nanos:
            return None
        return round(100 * (self.present_nanos - self.nanos) / self.present_nanos, 1)

    @property
    def sentence(self) -> str:
        """Return the answer in words."""
        parts = [f"{row.mails:,} by {row.name}" for row in self.rows if row.mails]
        cost = f"It costs {amount_text(self.nanos)}, fees included{self._compared()}."
        proof = ""
        if self.gap_nanos:
            proof = (
                " There may be a cheaper split, but none by more than "
                f"{amount_text(self.gap_nanos)}."
            )
        return f"Of {self.volume:,} mails in {self.month:%B %Y}: {_listed(parts)}. {cost}{proof}"

    def _compared(self) -> str:
        saved = self.saved_nanos
        if saved is None:
            return ""
        if saved == 0:
            return ", as the present split does"
        if saved < 0:
            return f", {amount_text(-saved)} more than the present shares, which do not fit"
        percent = f", {self.saved_percent:g} %" if self.saved_percent else ""
        return f", and saves {amount_text(saved)}{percent} against the present shares"


def taken(account: Account, kinds: Sequence[Kind], split: Split) -> str:
    """Return in words up to where an account is used, and at which price."""
    mails = split.mails[account.provider_id]
    parts = [
        f"the rules send {kind.name} nowhere else"
        for kind in kinds
        if kind.eligible == frozenset({account.provider_id}) and kind.mails
    ]
    if account.pricing.fee_nanos:
        parts.append(f"fee {amount_text(account.pricing.fee_nanos)}")
    parts.append(_last_price(account.pricing, mails))
    if account.capacity is not None and mails == account.capacity:
        parts.append("as much as its limits let through")
    elif account.at_most is not None and mails == account.at_most:
        parts.append("as much as is allowed here")
    elif account.at_least and mails == account.at_least:
        parts.append("as little as is asked for")
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


def left_out(
    account: Account, accounts: Sequence[Account], kinds: Sequence[Kind], split: Split
) -> str:
    """Return in words why an account takes no mail."""
    if account.room(1) == 0:
        return "Its limits let nothing through."
    if all(kind.eligible and account.provider_id not in kind.eligible for kind in kinds):
        return "The rules send none of this mail through it."
    fee = account.pricing.fee_nanos
    if not fee:
        price = price_text(account.pricing.next_price(0))
        return f"The others are cheaper than its {price} per 1,000, or no dearer."
    forced = [replace(each, at_least=1) if each is account else each for each in accounts]
    try:
        dearer = cheapest(forced, kinds).nanos - split.nanos
    except NoSplitError:
        return "It cannot be used as well."
    if dearer <= 0:
        return f"Its prices save no more than its fee of {amount_text(fee)}."
    return (
        f"Its fee of {amount_text(fee)} is more than its prices save: with it the whole costs "
        f"{amount_text(dearer)} more. The fee is saved only if the account is given up."
    )


def _last_price(pricing: Pricing, mails: int) -> str:
    """Return which step of the price list the last mail stands on."""
    price = pricing.next_price(mails - 1)
    starts = [start for start, _ in pricing.steps]
    start = max(each for each in starts if each < mails)
    end = min((each for each in starts if each >= mails), default=None)
    if start == 0 and pricing.free_per_month:
        return "all free" if mails < pricing.free_per_month else "exactly the free mails"
    text = f"the last mail costs {price_text(price)} per 1,000"
    if start > pricing.free_per_month:
        text += f", the tier above {start:,}"
    elif pricing.free_per_month:
        text += f", after {pricing.free_per_month:,} free ones"
    return f"{text}, filled to its end" if end == mails else text


def _listed(parts: Sequence[str]) -> str:
    if len(parts) < 2:  # noqa: PLR2004 - one has no “and”
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"
