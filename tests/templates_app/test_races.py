"""Two people publish at once."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest
from django.db import connection

from accounts.models import User
from templates_app.models import Template
from templates_app.services import create_template, publish, republish, save_draft


def published(slug: str, html: str, user: User, kind: str = "mail") -> Template:
    template = Template.objects.filter(slug=slug).first() or create_template(
        slug=slug, owner_id=user.pk, kind=kind
    )
    save_draft(template_id=template.pk, locale="", subject="S", html=html, text="")
    publish(template_id=template.pk)
    return template


@pytest.mark.django_db(transaction=True)
def test_mails_that_two_bring_up_to_date_at_once_get_one_new_version(user: User) -> None:
    foot = published("foot", "<i>one</i>", user, "partial")
    mails = [published(f"mail-{n}", '<p>{% render "foot" %}</p>', user) for n in range(8)]
    published("foot", "<i>two</i>", user, "partial")
    barrier = Barrier(2)
    done: list[str] = []
    failed: list[tuple[str, str]] = []

    def work() -> None:
        try:
            barrier.wait()
            result = republish(used_id=foot.pk, by=user.pk)
            done.extend(name for name, _ in result.done)
            failed.extend(result.failed)
        finally:
            connection.close()

    threads = [Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == [one.slug for one in mails]
    assert failed == []
    assert [one.versions.count() for one in mails] == [2] * 8
