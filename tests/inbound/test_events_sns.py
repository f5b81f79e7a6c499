"""Amazon SES by way of SNS: signatures, certificates, topics, confirmations."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID
from django.test import Client
from django.utils import timezone

from accounts.models import User
from delivery.models import Event, Suppression
from inbound.adapters import sns
from inbound.models import EventSource, RawEvent
from inbound.services.events import work_off_batch
from inbound.services.sources import set_trust
from tests.inbound.test_events import account, path_of, sent_through, state_of
from tests.support.webhooks.samples import ISO, MAILBOX_FULL, UNKNOWN_USER

pytestmark = pytest.mark.django_db

TOPIC = "arn:aws:sns:eu-west-1:123456789012:mail"
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
NAME = "SimpleNotificationService-0123456789abcdef0123456789abcdef.pem"


def certificate(*, days: int = 30) -> bytes:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sns.amazonaws.com")])
    now = timezone.now()
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=60))
        .not_valid_after(now + timedelta(days=days))
        .sign(KEY, hashes.SHA256())
    )
    return built.public_bytes(serialization.Encoding.PEM)


class StandIn:
    """A server in place of SNS, which notes what it is asked for."""

    def __init__(self, *, days: int = 30) -> None:
        self.asked: list[str] = []
        self.status = 200
        pem = certificate(days=days)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked.append(self.path)
                self.send_response(outer.status)
                self.end_headers()
                self.wfile.write(pem)

            def log_message(self, *_args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def amazon(settings: Any) -> Iterator[StandIn]:
    stand_in = StandIn()
    settings.SNS_STAND_IN_URL = stand_in.url
    settings.OUTGOING_HTTP_ALLOW_PRIVATE = True
    sns.forget_certificates()
    yield stand_in
    stand_in.close()
    sns.forget_certificates()


def message_of(
    amazon: StandIn, content: Any, *, version: str = "1", **fields: Any
) -> dict[str, Any]:
    message = {
        "Type": "Notification",
        "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC,
        "Message": content if isinstance(content, str) else json.dumps(content),
        "Timestamp": ISO.replace(".000000Z", ".000Z"),
        "SignatureVersion": version,
        "SigningCertURL": f"{amazon.url}/{NAME}",
    } | fields
    method = hashes.SHA256() if version == "2" else hashes.SHA1()  # noqa: S303
    signature = KEY.sign(sns.signed_text(message), padding.PKCS1v15(), method)
    return message | {"Signature": base64.b64encode(signature).decode()}


def deliver(source: EventSource, message: dict[str, Any]) -> int:
    headers = {
        "X-Amz-Sns-Message-Type": message["Type"],
        "X-Amz-Sns-Message-Id": message["MessageId"],
    }
    body = json.dumps(message)
    return Client().post(path_of(source), body, "text/plain", headers=headers).status_code


def confirmation(amazon: StandIn, **fields: Any) -> dict[str, Any]:
    given = {"SubscribeURL": f"{amazon.url}/?Action=ConfirmSubscription", "Token": "t"} | fields
    return message_of(amazon, "confirm", Type="SubscriptionConfirmation", **given)


def ses(what: str, **fields: Any) -> dict[str, Any]:
    mail = {"messageId": "0100-ses", "destination": ["bob@example.net"], "headers": []}
    return {"eventType": what, "mail": mail, what.lower(): fields}


def trusting() -> EventSource:
    source = account("amazon_ses", secrets={})
    return set_trust(source_id=source.pk, topic_arn=TOPIC)


BOUNCED = [{"emailAddress": "bob@example.net", "diagnosticCode": f"smtp; {UNKNOWN_USER}"}]
FULL = [{"emailAddress": "bob@example.net", "diagnosticCode": f"smtp; {MAILBOX_FULL}"}]


@pytest.mark.parametrize(
    ("content", "expected", "suppressed"),
    [
        (ses("Delivery", recipients=["bob@example.net"]), "delivered", []),
        (
            ses(
                "Bounce", bounceType="Permanent", bounceSubType="General", bouncedRecipients=BOUNCED
            ),
            "bounced",
            ["hard_bounce"],
        ),
        (
            ses(
                "Bounce",
                bounceType="Transient",
                bounceSubType="MailboxFull",
                bouncedRecipients=FULL,
            ),
            "soft_bounced",
            [],
        ),
        (
            ses("Complaint", complainedRecipients=[{"emailAddress": "bob@example.net"}]),
            "complained",
            ["complaint"],
        ),
        (ses("Open", userAgent="x"), "opened", []),
        (ses("Click", link="https://example.com/x"), "clicked", []),
    ],
)
@pytest.mark.parametrize("version", ["1", "2"])
def test_every_event_of_ses_reaches_its_message(
    user: User, amazon: StandIn, content: Any, expected: str, suppressed: list[str], version: str
) -> None:
    source = trusting()
    message = sent_through(source, user, remote_id="0100-ses")
    assert deliver(source, message_of(amazon, content, version=version)) == 200
    work_off_batch()
    assert Event.objects.get(message=message).kind == expected
    assert [each.reason for each in Suppression.objects.all()] == suppressed


def test_the_certificate_is_fetched_once(user: User, amazon: StandIn) -> None:
    source = trusting()
    for number in range(3):
        told = message_of(amazon, ses("Send"), MessageId=f"m{number}")
        assert deliver(source, told) == 200
    assert amazon.asked == [f"/{NAME}"]


@pytest.mark.parametrize(
    "change",
    [
        {"Message": "{}"},
        {"Signature": "AAAA"},
        {"Signature": "no base64!"},
        {"Signature": None},
        {"Type": "Something"},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com.evil.example/" + NAME},
        {"SigningCertURL": "https://evil.example/" + NAME},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com@evil.example/" + NAME},
        {"SigningCertURL": "http://sns.eu-west-1.amazonaws.com/" + NAME},
        {"SigningCertURL": "https://sns.eu-west-1.amazonaws.com/bucket/key.pem"},
        {"SigningCertURL": "https://[::1"},
    ],
)
def test_a_forged_notification_is_refused(user: User, amazon: StandIn, change: Any) -> None:
    source = trusting()
    assert deliver(source, message_of(amazon, ses("Send")) | change) == 403
    assert not RawEvent.objects.exists()
    source.refresh_from_db()
    assert source.refused_count == 1


def test_another_topic_is_refused_although_amazon_signed_it(user: User, amazon: StandIn) -> None:
    source = trusting()
    assert deliver(source, message_of(amazon, ses("Send"), TopicArn=TOPIC + "2")) == 403
    assert deliver(source, confirmation(amazon, TopicArn=TOPIC + "2")) == 403
    assert amazon.asked == [f"/{NAME}"]


def test_the_first_topic_confirmed_is_believed(user: User, amazon: StandIn) -> None:
    source = account("amazon_ses", secrets={})
    assert deliver(source, message_of(amazon, ses("Send"))) == 403
    assert deliver(source, confirmation(amazon)) == 200
    assert amazon.asked == [f"/{NAME}", "/?Action=ConfirmSubscription"]
    source.refresh_from_db()
    assert source.topic_arn == TOPIC
    assert deliver(source, message_of(amazon, ses("Send"))) == 200
    work_off_batch()
    assert {raw.status for raw in RawEvent.objects.all()} == {"done"}


def test_only_amazon_is_asked_to_confirm(user: User, amazon: StandIn) -> None:
    source = account("amazon_ses", secrets={})
    assert deliver(source, confirmation(amazon, SubscribeURL="http://127.0.0.1:1/x")) == 403
    source.refresh_from_db()
    assert source.topic_arn == ""


def test_a_certificate_that_cannot_be_had_puts_the_post_off(user: User, amazon: StandIn) -> None:
    source = trusting()
    amazon.status = 503
    assert deliver(source, message_of(amazon, ses("Send"))) == 503
    amazon.status = 200
    assert deliver(source, message_of(amazon, ses("Send"))) == 200


def test_an_old_certificate_is_not_believed(user: User, settings: Any) -> None:
    stand_in = StandIn(days=-1)
    settings.SNS_STAND_IN_URL = stand_in.url
    settings.OUTGOING_HTTP_ALLOW_PRIVATE = True
    sns.forget_certificates()
    try:
        assert deliver(trusting(), message_of(stand_in, ses("Send"))) == 403
    finally:
        stand_in.close()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://sns.eu-west-1.amazonaws.com/x", True),
        ("https://sns.cn-north-1.amazonaws.com.cn/x", True),
        ("https://sns.eu-west-1.amazonaws.com:444/x", False),
        ("https://s3.eu-west-1.amazonaws.com/x", False),
        ("https://sns.a.b.amazonaws.com/x", False),
    ],
)
def test_only_hosts_of_sns_are_amazons(url: str, *, expected: bool) -> None:
    assert sns.is_amazons(url) is expected


def test_who_opened_is_not_said_of_a_mail_to_many(user: User, amazon: StandIn) -> None:
    source = trusting()
    message = sent_through(source, user, remote_id="0100-ses")
    content = ses("Open", userAgent="x")
    content["mail"]["destination"] = ["bob@example.net", "eve@example.net"]
    assert deliver(source, message_of(amazon, content)) == 200
    work_off_batch()
    assert [event.recipient for event in Event.objects.filter(message=message)] == [""]
    assert state_of(message) == "sent"
