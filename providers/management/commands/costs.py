"""Costs on the command line: reports, forecast, cheapest split, budgets."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from mailservice.core.rest import dump_json
from providers.amounts import amount_text, exact_text, figure_text
from providers.budgets import standings
from providers.costs import Dimension, fees, sums, totals, with_fees
from providers.models import Budget
from providers.months import last_day, month_of, next_month, parse_month
from providers.outlook import outlook
from providers.planning import MAX_VOLUME, Question, plan_split
from providers.split import NoSplitError

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Sequence
    from datetime import date

    from providers.forecast import Estimate

#: Exit code of `costs budgets` if more was spent than may be.
EXCEEDED = 3
_MOST_COLUMN = 48


class Command(BaseCommand):
    """`manage.py costs report|forecast|split|budgets [--month 2026-03] [--by …] [--json]`."""

    help = (
        "Show what mail has cost (report), what a month will cost (forecast), the cheapest way to "
        "share out a month's mail (split), and how budgets stand (budgets; exit code 3 if one is "
        "exceeded)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the command line."""
        parser.add_argument("what", choices=["report", "forecast", "split", "budgets"])
        parser.add_argument(
            "--month", help="such as 2026-03; report and budgets: the running one, else the next"
        )
        parser.add_argument(
            "--by", choices=list(Dimension), default=Dimension.PROVIDER.value, help="for report"
        )
        parser.add_argument("--volume", type=int, help="for split: mails; else as forecast")
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Answer, and tell by the exit code if a budget is exceeded."""
        today = timezone.localdate()
        what: str = options["what"]
        month = month_of(today) if what in {"report", "budgets"} else next_month(today)
        if options["month"]:
            try:
                month = parse_month(options["month"])
            except ValueError as error:
                raise CommandError(f"--month: {error}") from None
        if what in {"forecast", "split"} and month < month_of(today):
            raise CommandError("--month: This month is over.")
        if what == "report":
            self._report(month, Dimension(options["by"]), is_json=options["json"])
        elif what == "forecast":
            self._forecast(month, today, is_json=options["json"])
        elif what == "split":
            self._split(month, today, options["volume"], is_json=options["json"])
        elif self._budgets(month, today, is_json=options["json"]):
            sys.exit(EXCEEDED)

    def _report(self, month: date, by: Dimension, *, is_json: bool) -> None:
        owed = fees([month])
        until = last_day(month)
        whole = sums(since=month, until=until)
        rows = with_fees(totals(since=month, until=until, by=by), owed, by)
        if is_json:
            self._print_json(
                {
                    "month": f"{month:%Y-%m}",
                    "by": by.value,
                    "mails": whole.mails,
                    "cost": exact_text(whole.nanos),
                    "fees": exact_text(owed.total),
                    "total": exact_text(whole.nanos + owed.total),
                    "results": [
                        {
                            "key": row.key,
                            "label": row.label,
                            "messages": row.messages,
                            "mails": row.mails,
                            "cost": exact_text(row.nanos),
                            "fees": exact_text(row.fee_nanos),
                            "total": exact_text(row.total_nanos),
                        }
                        for row in rows
                    ],
                }
            )
            return
        self._print_table(
            [by.value.replace("_", " "), "mails", "cost", "fees", "total"],
            [
                [row.label, f"{row.mails:,}"]
                + [figure_text(each) for each in (row.nanos, row.fee_nanos, row.total_nanos)]
                for row in rows
            ],
        )
        self.stdout.write(
            f"{month:%B %Y}: {whole.mails:,} mails, {amount_text(whole.nanos + owed.total)}, "
            f"{amount_text(owed.total)} of it fees."
        )

    def _forecast(self, month: date, today: date, *, is_json: bool) -> None:
        found = outlook(month, today=today)
        if is_json:
            self._print_json(
                {
                    "month": f"{month:%Y-%m}",
                    "message": found.why_not,
                    "mails": _parts(found.mail_estimate),
                    "total": _parts(found.nano_estimate, is_money=True),
                    "accounts": [
                        {
                            "provider_id": each.provider_id,
                            "name": each.name,
                            "mails": each.total_mails,
                            "total": exact_text(each.total_nanos),
                        }
                        for each in found.accounts
                    ]
                    if found.mail_estimate
                    else [],
                }
            )
            return
        if found.mail_estimate is None or found.nano_estimate is None:
            self.stdout.write(found.why_not)
            return
        self._print_table(
            ["account", "mails", "total"],
            [
                [each.name, f"{each.total_mails:,}", figure_text(each.total_nanos)]
                for each in found.accounts
            ],
        )
        mails, nanos = found.mail_estimate, found.nano_estimate
        self.stdout.write(
            f"{month:%B %Y}: about {mails.expected:,} mails ({mails.low:,} to {mails.high:,}) for "
            f"{amount_text(nanos.expected)} ({figure_text(nanos.low)} to {figure_text(nanos.high)})"
            ", fees included."
        )

    def _split(self, month: date, today: date, volume: int | None, *, is_json: bool) -> None:
        if volume is not None and not 1 <= volume <= MAX_VOLUME:
            raise CommandError(f"--volume: Must be from 1 to {MAX_VOLUME:,}.")
        try:
            plan = plan_split(Question(month=month, volume=volume), today=today)
        except NoSplitError as error:
            raise CommandError(str(error)) from None
        if is_json:
            self._print_json(
                {
                    "month": f"{month:%Y-%m}",
                    "volume": plan.volume,
                    "message": plan.sentence,
                    "total": exact_text(plan.nanos),
                    "is_cheapest": plan.gap_nanos == 0,
                    "saved": None if plan.saved_nanos is None else exact_text(plan.saved_nanos),
                    "accounts": [
                        {
                            "provider_id": row.provider_id,
                            "name": row.name,
                            "mails": row.mails,
                            "total": exact_text(row.total_nanos),
                            "explanation": row.words,
                        }
                        for row in plan.rows
                    ],
                }
            )
            return
        for row in plan.rows:
            self.stdout.write(
                f"{row.name}: {row.mails:,} mails, {amount_text(row.total_nanos)}. {row.words}"
            )
        for line in (plan.sentence, *plan.remarks):
            self.stdout.write(line)

    def _budgets(self, month: date, today: date, *, is_json: bool) -> bool:
        """Print the active budgets; tell whether one is exceeded."""
        is_running = month == month_of(today)
        found = standings(
            Budget.objects.filter(is_active=True),
            month=month,
            today=today if is_running else None,
        )
        if is_json:
            self._print_json(
                {
                    "month": f"{month:%Y-%m}",
                    "results": [
                        {
                            "id": each.budget.pk,
                            "name": each.budget.name,
                            "amount": exact_text(each.amount_nanos),
                            "spent": exact_text(each.spent_nanos),
                            "percent": each.percent,
                            "exceeded": each.is_exceeded,
                            "projection": _parts(each.projection, is_money=True),
                        }
                        for each in found
                    ],
                }
            )
        else:
            self._print_table(
                ["budget", "spent", "of", "percent", "by the end of the month"],
                [
                    [
                        each.budget.name,
                        figure_text(each.spent_nanos),
                        figure_text(each.amount_nanos),
                        f"{each.percent} %",
                        figure_text(each.projection.expected) if each.projection else "",
                    ]
                    for each in found
                ],
            )
        return any(each.is_exceeded for each in found)

    def _print_json(self, data: dict[str, Any]) -> None:
        self.stdout.write(dump_json({"currency": settings.CURRENCY, **data}).decode())

    def _print_table(self, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Print rows in columns, the first to the left, the others to the right."""
        cut = [[text[:_MOST_COLUMN] for text in row] for row in (head, *rows)]
        widths = [max(map(len, column)) for column in zip(*cut, strict=True)]
        for row in cut:
            cells = [row[0].ljust(widths[0])]
            cells += [text.rjust(width) for text, width in zip(row[1:], widths[1:], strict=True)]
            self.stdout.write("  ".join(cells).rstrip())


def _parts(estimate: Estimate | None, *, is_money: bool = False) -> dict[str, Any] | None:
    if estimate is None:
        return None
    parts = {"expected": estimate.expected, "low": estimate.low, "high": estimate.high}
    return {name: exact_text(value) if is_money else value for name, value in parts.items()}
