"""The witness itself: it must notice every kind of broken promise."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

import pytest
from django.utils import timezone

from accounts.models import User
from bench.sink import Sink
from delivery.models import Attempt, Message
from mailservice.core.ids import uuid7
from providers.models import CostDay, ProviderUsage, Reservation
from tests.support.ledger import Arrival, Expected, SinkLog, check
from tests.support.mail import drain, force_status, queue, smtp_account
from tests.support.workers import database_url

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Scene:
    """Three mails of a sequence, sent and received."""

    ids: list[UUID]
    expected: Expected

    def check(self, **changes: object) -> None:
        check(database_url(), replace(self.expected, **changes))  # type: ignore[arg-type]


@pytest.fixture
def scene(transactional_db: None) -> Scene:
    user = User.objects.create_user("owner@example.com")
    with Sink() as sink:
        smtp_account(sink.port, hourly_limit=100, price_per_thousand=1)
        began = timezone.now()
        ids = [queue(user, to=f"u{n}@example.net", sequence_key="k").pk for n in range(3)]
        drain()
        arrivals = [Arrival(mail.message_id, mail.at, mail.recipients) for mail in sink.mails]
    accepted = {message_id: f"u{n}@example.net" for n, message_id in enumerate(ids)}
    return Scene(
        ids, Expected(accepted, arrivals, doubt_limit=0, sequences={"k": ids}, since=began)
    )


def test_books_that_agree_give_figures(scene: Scene) -> None:
    figures = check(database_url(), scene.expected)
    assert (figures.accepted, figures.arrivals, figures.repeats, figures.in_doubt) == (3, 3, 0, 0)


def test_a_lost_mail_is_noticed(scene: Scene) -> None:
    with pytest.raises(AssertionError, match="sent but never arrived: 1"):
        scene.check(arrivals=scene.expected.arrivals[1:])


def test_a_lost_message_is_noticed(scene: Scene) -> None:
    with pytest.raises(AssertionError, match="accepted but gone: 1"):
        scene.check(accepted={**scene.expected.accepted, uuid7(): "who@example.net"})


def test_a_message_that_nobody_accepted_is_noticed_unless_its_request_had_no_answer(
    scene: Scene,
) -> None:
    accepted = {scene.ids[0]: "u0@example.net"}
    with pytest.raises(AssertionError, match="there but never accepted: 2"):
        scene.check(accepted=accepted)
    scene.check(accepted=accepted, maybe=scene.ids[1:])


def test_a_repeat_is_noticed_with_its_history(scene: Scene) -> None:
    arrivals = [*scene.expected.arrivals, scene.expected.arrivals[2]]
    with pytest.raises(AssertionError) as failure:
        scene.check(arrivals=arrivals)
    text = str(failure.value)
    assert "arrived more often than its history allows: 1" in text
    assert "1 repeats, at most 0 expected" in text
    assert "quota differs" in text
    assert "attempt 1 accepted 250" in text


def test_a_second_message_id_is_noticed(scene: Scene) -> None:
    first = scene.expected.arrivals[0]
    forged = first._replace(message_id=scene.expected.arrivals[1].message_id)
    with pytest.raises(AssertionError, match="one mail, several Message-IDs: 1"):
        scene.check(arrivals=[*scene.expected.arrivals, forged])


def test_a_wrong_order_is_noticed(scene: Scene) -> None:
    with pytest.raises(AssertionError, match="out of sequence"):
        scene.check(sequences={"k": scene.ids[::-1]})


@pytest.mark.parametrize("field", ["total_count", "hour_count", "reserved"])
def test_wrong_quota_is_noticed(scene: Scene, field: str) -> None:
    ProviderUsage.objects.update(**{field: 7})
    with pytest.raises(AssertionError, match=r"7 (used|of)"):
        scene.check()


def test_what_is_left_behind_is_noticed(scene: Scene) -> None:
    usage = ProviderUsage.objects.get()
    Reservation.objects.create(provider_id=usage.provider_id, lease_id=uuid7(), count=1)
    force_status(Message.objects.get(pk=scene.ids[0]), "sending", lease_id=uuid7())
    with pytest.raises(AssertionError) as failure:
        scene.check()
    for problem in ("a reservation is left", "held by a lease", "neither finished nor waiting"):
        assert problem in str(failure.value)


def test_more_doubt_than_stated_is_noticed(scene: Scene) -> None:
    Attempt.objects.filter(message_id=scene.ids[0]).update(outcome="unknown")
    with pytest.raises(AssertionError, match="more in doubt than 0: 1"):
        scene.check()


def test_a_line_without_recipients_is_read(scene: Scene, tmp_path) -> None:
    log = tmp_path / "sink.tsv"
    log.write_text("<a@b>\t1\t12.5\n<c@d>\t1\t13.5\tx@y,z@y\n<half")
    assert SinkLog(log).read() == [
        Arrival("<a@b>", 12.5),
        Arrival("<c@d>", 13.5, ("x@y", "z@y")),
    ]


def test_a_cost_that_is_missing_is_noticed(scene: Scene) -> None:
    CostDay.objects.update(mails=2)
    with pytest.raises(AssertionError, match="the ledger differs"):
        scene.check()
    CostDay.objects.update(mails=3, nanos=2)
    with pytest.raises(AssertionError, match="the cost differs"):
        scene.check()
