"""What people of each role see and may do in the console."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.roles import AUDITOR, DEVELOPER, MARKETER, OPERATOR, ROLES, set_up_roles
from delivery.models import EmailType, Suppression, SuppressionReason, TrackingRefusal
from inbound.models import RawEvent
from inbound.services.sources import source_of
from providers.models import Provider
from webhooks.services.endpoints import create_endpoint

pytestmark = pytest.mark.django_db

SUPPRESSIONS = "/admin/delivery/suppression/"
#: Lists, and who sees them.
LISTS = {
    "alerts/alert": {OPERATOR, MARKETER, DEVELOPER, AUDITOR},
    "delivery/message": {OPERATOR, DEVELOPER, AUDITOR},
    "delivery/suppression": {OPERATOR, MARKETER, DEVELOPER, AUDITOR},
    "delivery/trackingrefusal": {OPERATOR, MARKETER, DEVELOPER, AUDITOR},
    "delivery/emailtype": {OPERATOR, MARKETER, DEVELOPER, AUDITOR},
    "inbound/eventsource": {OPERATOR, DEVELOPER, AUDITOR},
    "inbound/rawevent": {OPERATOR, DEVELOPER, AUDITOR},
    "webhooks/endpoint": {OPERATOR, DEVELOPER, AUDITOR},
    "providers/provider": {OPERATOR, DEVELOPER, AUDITOR},
    "templates/template": {OPERATOR, MARKETER, DEVELOPER, AUDITOR},
    "verification/validationjob": {OPERATOR, MARKETER, DEVELOPER, AUDITOR},
    "accounts/apikey": {OPERATOR, AUDITOR},
    "accounts/user": {OPERATOR, AUDITOR},
    "auth/group": {OPERATOR, AUDITOR},
    "admin/logentry": {OPERATOR, AUDITOR},
}

As = Callable[[str], Client]


@pytest.fixture
def as_(db: None) -> As:
    """Return a function that logs somebody of a role in."""
    set_up_roles()

    def log_in(role: str) -> Client:
        user = User.objects.create_user(f"{role.lower()}@example.com", is_staff=True)
        user.groups.add(Group.objects.get(name=role))
        client = Client()
        client.force_login(user)
        return client

    return log_in


def suppress(reason: str, address: str = "") -> Suppression:
    return Suppression.objects.create(address=address or f"{reason}@example.net", reason=reason)


def delete_all(client: Client, rows: list[Suppression]) -> Any:
    data = {
        "action": "delete_selected",
        "_selected_action": [str(row.pk) for row in rows],
        "post": "yes",
    }
    return client.post(SUPPRESSIONS, data)


@pytest.mark.parametrize("role", ROLES)
def test_each_role_sees_its_lists_and_no_others(as_: As, role: str) -> None:
    client = as_(role)
    assert client.get("/admin/").status_code == 200
    seen = {path for path in LISTS if client.get(f"/admin/{path}/").status_code == 200}
    assert seen == {path for path, roles in LISTS.items() if role in roles}


@pytest.mark.parametrize("role", [MARKETER, OPERATOR])
def test_those_who_keep_the_list_add_to_it_by_hand_and_by_file(as_: As, role: str) -> None:
    client = as_(role)
    data = {"address": "bob@example.net", "reason": "manual", "list_key": "", "email_type": ""}
    assert client.post(f"{SUPPRESSIONS}add/", data).status_code == 302
    file = SimpleUploadedFile("left.csv", b"email\nann@example.net\n")
    fields = {"file": file, "reason": "unsubscribe", "list_key": ""}
    assert client.post(f"{SUPPRESSIONS}import/", fields).status_code == 302
    assert client.get(f"{SUPPRESSIONS}export/").status_code == 200
    assert Suppression.objects.count() == 2
    told = list(LogEntry.objects.order_by("pk").values_list("object_repr", "change_message"))
    assert told == [
        ("bob@example.net", '[{"added": {}}]'),
        ("suppressions", "Imported left.csv: 1 suppression added."),
        ("suppressions", "Exported all."),
    ]


@pytest.mark.parametrize("role", [DEVELOPER, AUDITOR])
def test_those_who_look_change_nothing(as_: As, role: str) -> None:
    client = as_(role)
    row = suppress("manual")
    assert client.get(f"{SUPPRESSIONS}{row.pk}/change/").status_code == 200
    for path in ("add/", "import/", f"{row.pk}/change/", f"{row.pk}/delete/"):
        assert client.post(f"{SUPPRESSIONS}{path}", {"post": "yes"}).status_code == 403
    delete_all(client, [row])
    assert Suppression.objects.count() == 1
    assert not LogEntry.objects.exists()


@pytest.mark.parametrize(
    ("role", "adds", "removes"),
    [(OPERATOR, 302, 302), (MARKETER, 302, 403), (DEVELOPER, 403, 403), (AUDITOR, 403, 403)],
)
def test_a_refusal_of_tracking_is_entered_by_those_who_keep_the_list(
    as_: As, role: str, adds: int, removes: int
) -> None:
    client = as_(role)
    path = "/admin/delivery/trackingrefusal/"
    assert client.post(f"{path}add/", {"address": "Bob@EXAMPLE.net"}).status_code == adds
    TrackingRefusal.objects.get_or_create(address="bob@example.net")
    found = client.get(path, {"q": "BOB@example.net"}).context["cl"]
    assert [row.address for row in found.result_list] == ["bob@example.net"]
    row = f"{path}bob_40example.net/"
    assert client.get(f"{row}change/").status_code == 200
    assert client.post(f"{row}change/", {"address": "eve@example.net"}).status_code == 403
    assert client.post(f"{row}delete/", {"post": "yes"}).status_code == removes
    assert TrackingRefusal.objects.exists() is (removes == 403)
    trail = LogEntry.objects.order_by("pk").values_list("object_repr", flat=True)
    assert set(trail) <= {"bob@example.net"}
    assert len(trail) == [adds, removes].count(302)


@pytest.mark.parametrize("reason", ["hard_bounce", "complaint", "unsubscribe"])
def test_a_marketer_cannot_undo_what_recipients_caused(as_: As, reason: str) -> None:
    client = as_(MARKETER)
    row, own = suppress(reason), suppress("manual")
    path = f"{SUPPRESSIONS}{row.pk}/"
    assert client.post(f"{path}delete/", {"post": "yes"}).status_code == 403
    # Nor by making it look like one's own first.
    assert client.post(f"{path}change/", {"reason": "manual"}).status_code == 403
    # Nor among others.
    assert delete_all(client, [row, own]).status_code == 403
    assert Suppression.objects.count() == 2
    assert client.post(f"{SUPPRESSIONS}{own.pk}/delete/", {"post": "yes"}).status_code == 302
    assert Suppression.objects.get() == row
    entry = LogEntry.objects.get()
    assert (entry.object_repr, entry.is_deletion()) == ("manual@example.net", True)


@pytest.mark.parametrize(("role", "reason"), [(MARKETER, "unsubscribe"), (OPERATOR, "manual")])
def test_an_import_makes_of_an_unsubscribe_what_its_author_may(
    as_: As, role: str, reason: str
) -> None:
    row = suppress("unsubscribe", "bob@example.net")
    file = SimpleUploadedFile("list.csv", b"email\nbob@example.net\nann@example.net\n")
    fields = {"file": file, "reason": "manual", "list_key": ""}
    as_(role).post(f"{SUPPRESSIONS}import/", fields)
    row.refresh_from_db()
    assert row.reason == reason
    assert Suppression.objects.filter(address="ann@example.net", reason="manual").exists()


def test_an_operator_lifts_any_and_the_trail_names_each(as_: As) -> None:
    client = as_(OPERATOR)
    rows = [suppress(reason) for reason in SuppressionReason.values]
    assert delete_all(client, rows).status_code == 302
    assert not Suppression.objects.exists()
    assert LogEntry.objects.filter(action_flag=3).count() == 4


def test_an_import_that_breaks_off_is_in_the_trail(as_: As) -> None:
    file = SimpleUploadedFile("bad.csv", b"email\nann@example.net\n\xff\xfe\n")
    fields = {"file": file, "reason": "manual", "list_key": ""}
    as_(OPERATOR).post(f"{SUPPRESSIONS}import/", fields)
    assert LogEntry.objects.get().change_message.startswith("Import of bad.csv broke off: ")


@pytest.mark.parametrize(("role", "status"), [(DEVELOPER, "new"), (AUDITOR, "unmatched")])
def test_posts_are_tried_again_by_those_who_may(as_: As, role: str, status: str) -> None:
    provider = Provider.objects.create(name="main", kind="brevo")
    source, now = source_of(provider_id=provider.pk), timezone.now()
    row = RawEvent.objects.create(
        source=source, received_at=now, body=b"{}", status="unmatched", due_at=now,
        patient_until=now,
    )  # fmt: skip
    client = as_(role)
    page = client.get(f"/admin/inbound/eventsource/{source.pk}/change/")
    assert source.token not in page.content.decode()
    client.post(f"/admin/inbound/rawevent/{row.pk}/again/")
    row.refresh_from_db()
    assert row.status == status


@pytest.mark.parametrize(("role", "status"), [(OPERATOR, 200), (DEVELOPER, 403), (AUDITOR, 403)])
def test_only_operators_change_others_webhooks(as_: As, user: User, role: str, status: int) -> None:
    values: Any = {"url": "https://shop.example.com/hooks"}
    made = create_endpoint(owner_id=user.pk, values=values)
    client = as_(role)
    path = f"/admin/webhooks/endpoint/{made.endpoint.pk}/"
    assert client.get(f"{path}change/").status_code == 200
    for page in ("edit", "rotate", "test", "replay", "switch", "delete"):
        assert client.get(f"{path}{page}/").status_code == status
    assert client.post(f"{path}rotate/").status_code == status


@pytest.mark.parametrize("role", ROLES)
def test_only_operators_change_email_types(as_: As, role: str) -> None:
    client = as_(role)
    path = "/admin/delivery/emailtype/marketing/change/"
    page = client.get(path)
    assert page.status_code == 200
    assert ('name="title"' in page.content.decode()) is (role == OPERATOR)
    is_refused = client.post(path, {"title": "Mine"}).status_code == 403
    assert is_refused is (role != OPERATOR)
    assert EmailType.objects.get(pk="marketing").title == "News and offers"


def test_an_operator_makes_no_administrators(as_: As, user: User) -> None:
    client = as_(OPERATOR)
    data = {"email": user.email, "full_name": "", "is_active": "on", "is_superuser": "on"}
    client.post(f"/admin/accounts/user/{user.pk}/change/", data)
    user.refresh_from_db()
    assert not user.is_superuser


PASSWORD = {"password1": "a quite long phrase", "password2": "a quite long phrase"}


def new_user(*roles: str, **changes: str) -> dict[str, Any]:
    groups = [str(Group.objects.get(name=role).pk) for role in roles]
    data = {"email": "new@example.com", "usable_password": "true", "is_staff": "on", **PASSWORD}
    return {**data, "groups": groups, **changes}


def test_an_operator_adds_colleagues_with_roles(as_: As, client: Client) -> None:
    operator = as_(OPERATOR)
    data = new_user(MARKETER, OPERATOR, is_superuser="on")
    assert operator.post("/admin/accounts/user/add/", data).status_code == 302
    made = User.objects.get(email="new@example.com")
    assert (made.is_staff, made.is_superuser) == (True, False)
    assert set(made.groups.values_list("name", flat=True)) == {MARKETER, OPERATOR}
    page = operator.get("/admin/accounts/user/add/").content.decode()
    assert "Only an administrator makes administrators." in page


@pytest.fixture
def mighty(db: None) -> Group:
    """A role with a right that operators lack."""
    group = Group.objects.create(name="Mighty")
    group.permissions.add(Permission.objects.get(codename="delete_contenttype"))
    return group


def test_nobody_gives_roles_beyond_their_own_rights(as_: As, mighty: Group) -> None:
    client = as_(OPERATOR)
    answer = client.post("/admin/accounts/user/add/", new_user("Mighty"))
    assert list(answer.context["adminform"].form.errors) == ["groups"]
    assert not User.objects.filter(email="new@example.com").exists()


def test_nobody_takes_over_people_who_may_more(as_: As, user: User, mighty: Group) -> None:
    client = as_(OPERATOR)
    user.groups.add(mighty)
    path = f"/admin/accounts/user/{user.pk}/"
    for is_active in (True, False):  # one who is switched off could be switched on
        User.objects.filter(pk=user.pk).update(is_active=is_active)
        assert client.post(f"{path}change/", {"email": user.email}).status_code == 403
        assert client.post(f"{path}password/", PASSWORD).status_code == 403


def test_nobody_puts_rights_into_roles_that_they_lack(as_: As, mighty: Group) -> None:
    client = as_(OPERATOR)
    beyond = mighty.permissions.get()
    own = Permission.objects.get(codename="view_message")
    path = f"/admin/auth/group/{Group.objects.get(name=MARKETER).pk}/change/"
    answer = client.post(path, {"name": MARKETER, "permissions": [str(beyond.pk)]})
    assert list(answer.context["adminform"].form.errors) == ["permissions"]
    assert client.post(path, {"name": MARKETER, "permissions": [str(own.pk)]}).status_code == 302
    assert list(Group.objects.get(name=MARKETER).permissions.all()) == [own]
    path = f"/admin/auth/group/{mighty.pk}/"
    assert client.post(f"{path}change/", {"name": "Mine", "permissions": []}).status_code == 403
    assert client.post(f"{path}delete/", {"post": "yes"}).status_code == 403
