"""What people look at, as the API, the console and the dashboard ask for it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

from django.contrib import admin
from django.core.cache import cache
from django.test import RequestFactory
from django.utils import timezone

from accounts.models import User
from delivery.admin.figures import dashboard_figures
from delivery.admin.message_page import page_context, whole_message
from delivery.admin.messages import MessageAdmin
from delivery.models import Message
from delivery.selectors import Criteria, message_history, message_page, message_summary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from django.http import HttpRequest

    from bench.flat_work import NamedStep

PAGE = 50
ABSENT = UUID(int=7 << 76 | 2 << 62 | 1)


def list_work() -> Iterator[NamedStep]:
    """Yield the steps: pages of lists, one message's story, the dashboard."""
    yield from _api_pages()
    yield from _console_pages()
    yield from _one_message()


def _api_pages() -> Iterator[NamedStep]:
    owners = list(User.objects.order_by("email").values_list("pk", flat=True)[:5])
    everybody, busy, quiet = (
        Message.objects.all(),
        Message.objects.filter(owner_id=owners[0]),
        Message.objects.filter(owner_id=owners[1]),
    )
    for visible, whose in ((everybody, "all"), (busy, "busy owner"), (quiet, "quiet owner")):
        for what, criteria in _criteria().items():
            yield (
                f"list {whose}, {what}",
                lambda visible=visible, criteria=criteria: message_page(  # type: ignore[misc]
                    visible, criteria, after=None, limit=PAGE
                ),
            )
    middle = Message.objects.order_by("pk").values_list("pk", flat=True).first() or ABSENT
    yield (
        "list all, last page",
        lambda: message_page(
            everybody, Criteria(), after=UUID(int=middle.int + (1 << 86)), limit=PAGE
        ),
    )


def _criteria() -> Mapping[str, Criteria]:
    now = timezone.now()
    some = Message.objects.filter(group_id__isnull=False).order_by("pk").first()
    provider = Message.objects.filter(provider__isnull=False).order_by("-pk").first()
    return {
        "newest": Criteria(),
        "status sent": Criteria(statuses=frozenset({"sent"})),
        "status held": Criteria(statuses=frozenset({"held"})),
        "status bounced": Criteria(statuses=frozenset({"bounced"})),
        "status sending": Criteria(statuses=frozenset({"sending"})),
        "status held or unknown": Criteria(statuses=frozenset({"held", "unknown"})),
        "address": Criteria(recipient=some.addresses[0] if some else "a@customers.example"),
        "address, none": Criteria(recipient="nobody@nowhere.example"),
        "tag, on a tenth": Criteria(tag="news"),
        "tag, old": Criteria(tag="week0"),
        "tag, none": Criteria(tag="never"),
        "group": Criteria(group_id=some.group_id if some else uuid4()),
        "group, bounced": Criteria(
            group_id=some.group_id if some else uuid4(), statuses=frozenset({"bounced"})
        ),
        "type": Criteria(email_type="transactional"),
        "type, none": Criteria(email_type="never"),
        "provider": Criteria(provider_id=provider.provider_id if provider else uuid4()),
        "provider, none": Criteria(provider_id=ABSENT),
        "subject": Criteria(subject="week 19"),
        "subject, none": Criteria(subject="no such words"),
        "a day, a month ago": Criteria(
            created_from=now - timedelta(days=30), created_to=now - timedelta(days=29)
        ),
    }


def _console_pages() -> Iterator[NamedStep]:
    console = MessageAdmin(Message, admin.site)
    user = User.objects.filter(is_superuser=True).first() or User.objects.create_superuser(
        "bench@example.com"
    )
    queries = {
        "newest": "",
        "not finished": "status=open",
        "queued": "status=queued",
        "unknown": "status=unknown",
        "bounced": "status=bounced",
        "sending": "status=sending",
        "last 24 hours, bulk": "when=24h&lane=2",
        "priority 5": "when=24h&priority=5",
        "address": "q=customer1@customers1.example",
        "address, none": "q=nobody@nowhere.example",
    }
    for what, query in queries.items():
        request = RequestFactory().get(f"/?{query}")
        request.user = user
        yield f"console, {what}", _changelist(console, request)

    def page() -> object:
        cache.clear()
        return dashboard_figures()

    yield "dashboard, nothing cached", page
    newest = Message.objects.order_by("pk").values_list("pk", flat=True)[10]
    request = RequestFactory().get("/")
    request.user = user

    def one() -> object:
        message = whole_message(newest)
        assert message is not None
        return page_context(console, request, message)

    yield "console, one message", one


def _changelist(console: MessageAdmin, request: HttpRequest) -> Callable[[], object]:
    return lambda: console.get_changelist_instance(request)


def _one_message() -> Iterator[NamedStep]:
    some = Message.objects.order_by("pk").values_list("pk", flat=True)[10]
    yield "one message", lambda: message_summary(Message.objects.all(), some)
    yield "one message's history", lambda: message_history(some)
