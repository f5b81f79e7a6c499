"""What mails cost at an account: a free allowance, then tiers of the calendar month.

Mails are counted as providers bill them: one per recipient. Money is exact: a *nano* is a billionth
of the service's currency unit, which is what the finest price per thousand comes to for one mail.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Nanos in one unit of the currency.
NANOS = 1_000_000_000
#: Nanos per mail and unit of a price per thousand.
_PER_THOUSAND = NANOS // 1_000
#: Decimals that a price per thousand may have, so that a mail costs whole nanos.
PRICE_DECIMALS = 6
MAX_PRICE = Decimal(100_000)
MAX_TIERS = 20
MAX_MAILS = 2_147_483_647


@dataclass(frozen=True, slots=True)
class Tier:
    """A price that holds for the mails of a month after the first `above`."""

    above: int
    price_per_thousand: Decimal


@dataclass(frozen=True)
class Pricing:
    """An account's price list; tiers are graduated: each mail costs what its own tier says.

    `tiers` ascend and lie above the free allowance. `above` counts all mails of the month, free
    ones included.
    """

    price_per_thousand: Decimal = Decimal(0)
    free_per_month: int = 0
    tiers: tuple[Tier, ...] = ()
    #: Paid whether mail is sent or not.
    monthly_fee: Decimal = Decimal(0)

    @cached_property
    def steps(self) -> tuple[tuple[int, int], ...]:
        """Return (first mail of the month counted from 0, nanos per mail), ascending from 0."""
        steps = [(self.free_per_month, nanos_per_mail(self.price_per_thousand))]
        if self.free_per_month:
            steps.insert(0, (0, 0))
        steps += [(tier.above, nanos_per_mail(tier.price_per_thousand)) for tier in self.tiers]
        return tuple(steps)

    @cached_property
    def _starts(self) -> tuple[int, ...]:
        return tuple(start for start, _ in self.steps)

    @cached_property
    def _sums(self) -> tuple[int, ...]:
        """Return what all mails before each step cost together."""
        sums = [0]
        for (start, nanos), (end, _) in pairwise(self.steps):
            sums.append(sums[-1] + (end - start) * nanos)
        return tuple(sums)

    def nanos_for(self, count: int) -> int:
        """Return what the first `count` mails of a month cost, the fee left out."""
        place = bisect_right(self._starts, count) - 1
        start, nanos = self.steps[place]
        return self._sums[place] + (count - start) * nanos

    def nanos_between(self, start: int, end: int) -> int:
        """Return what the mails after the first `start` up to the first `end` cost."""
        return self.nanos_for(end) - self.nanos_for(start)

    def next_price(self, count: int) -> Decimal:
        """Return the price per thousand of the mail that follows the first `count` of the month."""
        _, nanos = self.steps[bisect_right(self._starts, count) - 1]
        return Decimal(nanos) / _PER_THOUSAND

    @property
    def fee_nanos(self) -> int:
        """Return the monthly fee."""
        return int(self.monthly_fee * NANOS)


def nanos_per_mail(price_per_thousand: Decimal) -> int:
    """Return what one mail costs at a price per thousand of at most six decimals."""
    return int(price_per_thousand * _PER_THOUSAND)


def money(nanos: int) -> Decimal:
    """Return an amount in units of the currency."""
    return Decimal(nanos) / NANOS


def read_tiers(values: Any) -> tuple[Tier, ...]:
    """Return the tiers of a list of `{"above": 100000, "price_per_thousand": "0.80"}`.

    Raises `ValueError` in words for whoever entered it.
    """
    if not isinstance(values, list):
        raise ValueError(  # noqa: TRY004 - what was entered is wrong, not the caller
            'Give a list such as [{"above": 100000, "price_per_thousand": "0.80"}].'
        )
    if len(values) > MAX_TIERS:
        raise ValueError(f"At most {MAX_TIERS} tiers.")
    tiers = tuple(_read_tier(number, value) for number, value in enumerate(values, 1))
    for first, second in pairwise(tiers):
        if second.above <= first.above:
            raise ValueError("Each tier must begin above the one before.")
    return tiers


def _read_tier(number: int, value: Any) -> Tier:
    if not isinstance(value, dict) or value.keys() != {"above", "price_per_thousand"}:
        raise ValueError(f"Tier {number}: give “above” and “price_per_thousand”, no more.")
    above = value["above"]
    if not isinstance(above, int) or isinstance(above, bool) or not 1 <= above <= MAX_MAILS:
        raise ValueError(f"Tier {number}: “above” is a number of mails from 1 to {MAX_MAILS:,}.")
    return Tier(above, _read_price(number, value["price_per_thousand"]))


def _read_price(number: int, value: Any) -> Decimal:
    message = (
        f"Tier {number}: “price_per_thousand” is an amount from 0 to {MAX_PRICE:,} with at most "
        f"{PRICE_DECIMALS} decimals."
    )
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(message)  # noqa: TRY004 - as above
    try:
        price = Decimal(str(value).strip())
    except InvalidOperation:
        raise ValueError(message) from None
    if not price.is_finite() or not 0 <= price <= MAX_PRICE:
        raise ValueError(message)
    rounded = round(price, PRICE_DECIMALS)
    if price != rounded:
        raise ValueError(message)
    return rounded


def written_tiers(tiers: Sequence[Tier]) -> list[Mapping[str, int | str]]:
    """Return tiers as `read_tiers` takes them, prices without needless zeros."""
    return [
        {"above": tier.above, "price_per_thousand": f"{tier.price_per_thousand.normalize():f}"}
        for tier in tiers
    ]
