"""The roles that are there at first, and `manage.py setup_roles`."""

from __future__ import annotations

import json
from io import StringIO

import pytest
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command

from accounts.models import User
from accounts.roles import AUDITOR, DEVELOPER, MARKETER, OPERATOR, ROLES, matching, set_up_roles

pytestmark = pytest.mark.django_db


def codes(role: str) -> set[str]:
    permissions = Group.objects.get(name=role).permissions.select_related("content_type")
    return {f"{one.content_type.app_label}.{one.codename}" for one in permissions}


def test_every_pattern_means_something() -> None:
    known = [
        f"{one.content_type.app_label}.{one.codename}"
        for one in Permission.objects.select_related("content_type")
    ]
    unused = [
        (role, pattern)
        for role, patterns in ROLES.items()
        for pattern in patterns
        if not matching(known, [pattern])
    ]
    assert unused == []


def test_an_auditor_only_reads() -> None:
    set_up_roles()
    assert all(name.partition(".")[2].startswith("view_") for name in codes(AUDITOR))
    assert {"delivery.view_suppression", "inbound.view_rawevent", "webhooks.view_delivery"} <= (
        codes(AUDITOR)
    )


def test_only_an_operator_lifts_what_recipients_caused() -> None:
    set_up_roles()
    lifting = {role for role in ROLES if "delivery.lift_suppression" in codes(role)}
    assert lifting == {OPERATOR}


def test_nobody_s_mail_is_read_by_marketers() -> None:
    set_up_roles()
    assert "delivery.view_message" not in codes(MARKETER)
    assert "delivery.view_message" in codes(DEVELOPER)


def test_roles_that_are_there_stay_as_people_made_them() -> None:
    assert None not in set_up_roles().values()
    Group.objects.get(name=AUDITOR).permissions.clear()
    Group.objects.get(name=MARKETER).delete()
    done = set_up_roles()
    assert {role for role, count in done.items() if count is None} == {
        OPERATOR,
        DEVELOPER,
        AUDITOR,
    }
    assert codes(AUDITOR) == set()
    assert len(codes(MARKETER)) == done[MARKETER]
    set_up_roles(resets=True)
    assert "delivery.view_message" in codes(AUDITOR)


def test_other_roles_and_people_are_left_alone() -> None:
    own = Group.objects.create(name="Newsroom")
    person = User.objects.create_user("ann@example.com", is_staff=True)
    person.groups.add(own)
    set_up_roles(resets=True)
    assert list(person.groups.all()) == [own]
    assert own.permissions.count() == 0


def test_the_command_says_what_it_did() -> None:
    out = StringIO()
    call_command("setup_roles", "--json", stdout=out)
    made = json.loads(out.getvalue())
    assert set(made) == set(ROLES)
    assert made[OPERATOR] == len(codes(OPERATOR))
    out = StringIO()
    call_command("setup_roles", stdout=out)
    assert out.getvalue().splitlines()[0] == "Operator: (exists already)"
