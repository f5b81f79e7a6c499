"""One post per kind and event, in the shape of the providers' own documentation."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from mailservice.core.signing import signed_headers

STAMP = int(time.time()) - 60
ISO = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(STAMP))
POSTAL_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
SENDGRID_KEY = ec.generate_private_key(ec.SECP256R1())
UNKNOWN_USER = "550 5.1.1 The email account that you tried to reach does not exist"
MAILBOX_FULL = "552 5.2.2 The mailbox is full"


@dataclass
class Post:
    """What a provider posts."""

    body: bytes
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


def public_text(key: Any) -> str:
    """Return a public key in base64 without its first and last line."""
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return "".join(pem.decode().splitlines()[1:-1])


KEYS = {
    "mailersend": "mailersend-secret",
    "mailgun": "mailgun-signing-key",
    "mailtrap": "mailtrap-secret",
    "mandrill": "mandrill-key",
    "postal": public_text(POSTAL_KEY),
    "resend": "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode(),
    "sendgrid": public_text(SENDGRID_KEY),
}


@dataclass(frozen=True)
class Mail:
    """The mail an event is about."""

    message_id: UUID
    remote_id: str
    to: str = "bob@example.net"

    @property
    def metadata(self) -> dict[str, str]:
        """Return what the provider gives back."""
        return {"mailservice_id": self.message_id.hex}


def brevo(mail: Mail, what: str) -> Any:
    return {
        "event": what, "email": mail.to, "id": 26224, "date": "2026-11-21 10:00:00",
        "ts": STAMP, "ts_epoch": STAMP * 1000, "message-id": mail.remote_id, "subject": "Hello",
        "X-Mailin-custom": json.dumps(mail.metadata), "tags": ["a"],
        "reason": UNKNOWN_USER if what == "hard_bounce" else "", "link": "https://example.com/x",
    }  # fmt: skip


def mailersend(mail: Mail, what: str) -> Any:
    return {
        "type": f"activity.{what}", "created_at": ISO, "webhook_id": "d7e8",
        "data": {
            "id": f"62f1{what}", "type": what, "created_at": ISO,
            "email": {
                "status": "x", "tags": None, "message": {"id": mail.remote_id},
                "recipient": {"email": mail.to},
            },
            "morph": {"object": "click", "url": "https://example.com/x"}
            if what == "clicked"
            else {"object": "recipient_bounce", "reason": "Host or domain name not found"},
        },
    }  # fmt: skip


def mailgun(mail: Mail, what: str) -> Any:
    name, _, severity = what.partition(":")
    token = hashlib.sha256(f"{what}{mail.message_id}".encode()).hexdigest()[:50]
    data = {
        "id": f"id-{what}", "event": name, "timestamp": STAMP + 0.5, "recipient": mail.to,
        "message": {"headers": {"message-id": f"{mail.message_id.hex}@example.com"}},
        "user-variables": mail.metadata, "tags": [], "url": "https://example.com/x",
    }  # fmt: skip
    if severity:
        data["severity"] = severity
        data["reason"] = "generic"
        data["delivery-status"] = {"code": 550, "message": UNKNOWN_USER}
    return {"signature": {"timestamp": str(STAMP), "token": token}, "event-data": data}


def mailjet(mail: Mail, what: str) -> Any:
    name, _, error = what.partition(":")
    event = {
        "event": name, "time": STAMP, "MessageID": int(mail.remote_id), "email": mail.to,
        "Payload": json.dumps(mail.metadata), "url": "https://example.com/x",
    }  # fmt: skip
    if error:
        event |= {"error": error, "hard_bounce": error == "user unknown", "blocked": False}
    return [event]


def mailtrap(mail: Mail, what: str) -> Any:
    return {
        "events": [
            {
                "event": what, "message_id": mail.remote_id, "email": mail.to, "timestamp": STAMP,
                "event_id": f"ev-{what}", "sending_stream": "transactional",
                "custom_variables": mail.metadata, "url": "https://example.com/x",
                "response": UNKNOWN_USER if what == "bounce" else "",
            }
        ]
    }  # fmt: skip


def mandrill(mail: Mail, what: str) -> Any:
    msg = {
        "ts": STAMP, "email": mail.to, "metadata": mail.metadata, "tags": [], "_id": mail.remote_id,
        "diag": UNKNOWN_USER if what == "hard_bounce" else MAILBOX_FULL,
    }  # fmt: skip
    return [
        {
            "event": what,
            "_id": mail.remote_id,
            "msg": msg,
            "ts": STAMP,
            "url": "https://example.com/x",
        }
    ]


def postal(mail: Mail, what: str) -> Any:
    message = {"id": int(mail.remote_id), "token": "abc", "direction": "outgoing", "to": mail.to,
               "tag": None}  # fmt: skip
    payload: dict[str, Any] = {"message": message, "status": what, "output": ""}
    if what == "HardFail":
        payload["output"] = UNKNOWN_USER
    if what == "bounce":
        payload = {"original_message": message, "bounce": {"id": 9}}
    if what == "click":
        payload = {"message": message, "url": "https://example.com/x"}
    return {"event": "x", "timestamp": STAMP, "payload": payload, "uuid": f"u-{what}"}


def postmark(mail: Mail, what: str) -> Any:
    name, _, kind = what.partition(":")
    event = {
        "RecordType": name, "MessageID": mail.remote_id, "Recipient": mail.to, "Tag": "a",
        "ServerID": 1, "Metadata": mail.metadata, "DeliveredAt": ISO,
        "OriginalLink": "https://example.com/x",
    }  # fmt: skip
    if kind:
        event |= {"Type": kind, "ID": 42, "Email": mail.to, "BouncedAt": ISO}
        event["Details"] = UNKNOWN_USER if kind == "HardBounce" else MAILBOX_FULL
    return event


def resend(mail: Mail, what: str) -> Any:
    name, _, kind = what.partition(":")
    data: dict[str, Any] = {
        "email_id": mail.remote_id, "to": [mail.to], "created_at": ISO,
        "headers": [{"name": "X-Metadata", "value": json.dumps(mail.metadata)}],
    }  # fmt: skip
    if kind:
        data["bounce"] = {"type": kind, "message": "The provider sent a hard bounce message."}
    if name == "email.clicked":
        data["click"] = {"link": "https://example.com/x"}
    return {"type": name, "created_at": ISO, "data": data}


def sendgrid(mail: Mail, what: str) -> Any:
    name, _, kind = what.partition(":")
    event = {
        "event": name, "email": mail.to, "timestamp": STAMP, "sg_event_id": f"sg-{what}",
        "sg_message_id": "x.filter1", "anymail_id": mail.remote_id, "url": "https://example.com/x",
        **mail.metadata,
    }  # fmt: skip
    if kind:
        event |= {"type": kind, "reason": UNKNOWN_USER if kind == "bounce" else "blocked by policy"}
    return [event]


def sparkpost(mail: Mail, what: str) -> Any:
    name, _, bounce_class = what.partition(":")
    event = {
        "type": name, "event_id": f"sp-{what}", "timestamp": str(STAMP), "raw_rcpt_to": mail.to,
        "transmission_id": mail.remote_id, "rcpt_meta": mail.metadata,
        "target_link_url": "https://example.com/x",
    }  # fmt: skip
    if bounce_class:
        event |= {"bounce_class": bounce_class, "raw_reason": UNKNOWN_USER}
    group = "track_event" if name in {"open", "click"} else "message_event"
    return [{"msys": {group: event}}]


def unisender_go(mail: Mail, what: str) -> Any:
    name, _, why = what.partition(":")
    event = {
        "event_name": "transactional_email_status",
        "event_data": {
            "status": name, "email": mail.to, "job_id": "j", "event_time": ISO[:10] + " 00:00:01",
            "metadata": {**mail.metadata, "anymail_id": mail.remote_id},
            "delivery_info": {"delivery_status": why or "ok_sent"}, "url": "https://example.com/x",
        },
    }  # fmt: skip
    return {"auth": "", "events_by_user": [{"user_id": 1, "events": [event]}]}


MAKERS = {
    name: globals()[name]
    for name in (
        "brevo", "mailersend", "mailgun", "mailjet", "mailtrap", "mandrill", "postal", "postmark",
        "resend", "sendgrid", "sparkpost", "unisender_go",
    )
}  # fmt: skip
_BOTH = "bounced", "hard_bounce"
#: (kind, what the provider calls it, our event, suppression).
CASES: list[tuple[str, str, str, str]] = [
    ("brevo", "delivered", "delivered", ""),
    ("brevo", "deferred", "delayed", ""),
    ("brevo", "hard_bounce", *_BOTH),
    ("brevo", "soft_bounce", "soft_bounced", ""),
    ("brevo", "blocked", "soft_bounced", ""),
    ("brevo", "spam", "complained", "complaint"),
    ("brevo", "unique_opened", "opened", ""),
    ("brevo", "click", "clicked", ""),
    ("brevo", "unsubscribe", "unsubscribed", "unsubscribe"),
    ("mailersend", "delivered", "delivered", ""),
    ("mailersend", "hard_bounced", *_BOTH),
    ("mailersend", "soft_bounced", "soft_bounced", ""),
    ("mailersend", "spam_complaint", "complained", "complaint"),
    ("mailersend", "opened", "opened", ""),
    ("mailersend", "clicked", "clicked", ""),
    ("mailersend", "unsubscribed", "unsubscribed", "unsubscribe"),
    ("mailgun", "delivered", "delivered", ""),
    ("mailgun", "failed:permanent", *_BOTH),
    ("mailgun", "failed:temporary", "delayed", ""),
    ("mailgun", "complained", "complained", "complaint"),
    ("mailgun", "opened", "opened", ""),
    ("mailgun", "clicked", "clicked", ""),
    ("mailgun", "unsubscribed", "unsubscribed", "unsubscribe"),
    ("mailjet", "sent", "delivered", ""),
    ("mailjet", "bounce:user unknown", *_BOTH),
    ("mailjet", "bounce:quota exceeded", "soft_bounced", ""),
    ("mailjet", "blocked:preblocked", "soft_bounced", ""),
    ("mailjet", "bounce:greylisted", "delayed", ""),
    ("mailjet", "spam", "complained", "complaint"),
    ("mailjet", "open", "opened", ""),
    ("mailjet", "click", "clicked", ""),
    ("mailjet", "unsub", "unsubscribed", "unsubscribe"),
    ("mailtrap", "delivery", "delivered", ""),
    ("mailtrap", "bounce", *_BOTH),
    ("mailtrap", "soft bounce", "delayed", ""),
    ("mailtrap", "reject", "soft_bounced", ""),
    ("mailtrap", "spam", "complained", "complaint"),
    ("mailtrap", "open", "opened", ""),
    ("mailtrap", "click", "clicked", ""),
    ("mailtrap", "unsubscribe", "unsubscribed", "unsubscribe"),
    ("mandrill", "hard_bounce", *_BOTH),
    ("mandrill", "soft_bounce", "soft_bounced", ""),
    ("mandrill", "deferral", "delayed", ""),
    ("mandrill", "spam", "complained", "complaint"),
    ("mandrill", "open", "opened", ""),
    ("mandrill", "click", "clicked", ""),
    ("mandrill", "unsub", "unsubscribed", "unsubscribe"),
    ("mandrill", "reject", "soft_bounced", ""),
    ("postal", "Sent", "delivered", ""),
    ("postal", "SoftFail", "delayed", ""),
    ("postal", "HardFail", *_BOTH),
    ("postal", "bounce", "soft_bounced", ""),
    ("postal", "click", "clicked", ""),
    ("postmark", "Delivery", "delivered", ""),
    ("postmark", "Bounce:HardBounce", *_BOTH),
    ("postmark", "Bounce:SoftBounce", "soft_bounced", ""),
    ("postmark", "Bounce:Transient", "delayed", ""),
    ("postmark", "Bounce:AutoResponder", "auto_replied", ""),
    ("postmark", "SpamComplaint", "complained", "complaint"),
    ("postmark", "Open", "opened", ""),
    ("postmark", "Click", "clicked", ""),
    ("postmark", "SubscriptionChange", "unsubscribed", "unsubscribe"),
    ("resend", "email.delivered", "delivered", ""),
    ("resend", "email.delivery_delayed", "delayed", ""),
    ("resend", "email.bounced:Permanent", *_BOTH),
    ("resend", "email.bounced:Transient", "soft_bounced", ""),
    ("resend", "email.complained", "complained", "complaint"),
    ("resend", "email.opened", "opened", ""),
    ("resend", "email.clicked", "clicked", ""),
    ("sendgrid", "delivered", "delivered", ""),
    ("sendgrid", "deferred", "delayed", ""),
    ("sendgrid", "bounce:bounce", *_BOTH),
    ("sendgrid", "bounce:blocked", "soft_bounced", ""),
    ("sendgrid", "spamreport", "complained", "complaint"),
    ("sendgrid", "open", "opened", ""),
    ("sendgrid", "click", "clicked", ""),
    ("sendgrid", "unsubscribe", "unsubscribed", "unsubscribe"),
    ("sparkpost", "delivery", "delivered", ""),
    ("sparkpost", "delay", "delayed", ""),
    ("sparkpost", "bounce:10", *_BOTH),
    ("sparkpost", "bounce:22", "soft_bounced", ""),
    ("sparkpost", "bounce:60", "auto_replied", ""),
    ("sparkpost", "spam_complaint", "complained", "complaint"),
    ("sparkpost", "open", "opened", ""),
    ("sparkpost", "click", "clicked", ""),
    ("sparkpost", "list_unsubscribe", "unsubscribed", "unsubscribe"),
    ("unisender_go", "delivered", "delivered", ""),
    ("unisender_go", "hard_bounced:err_user_unknown", *_BOTH),
    ("unisender_go", "hard_bounced:err_spam_rejected", "soft_bounced", ""),
    ("unisender_go", "soft_bounced", "delayed", ""),
    ("unisender_go", "spam", "complained", "complaint"),
    ("unisender_go", "opened", "opened", ""),
    ("unisender_go", "clicked", "clicked", ""),
    ("unisender_go", "unsubscribed", "unsubscribed", "unsubscribe"),
]


def post_of(kind: str, data: Any, *, url: str = "") -> Post:
    """Return data as the provider posts it, signed with the key of `KEYS` where it signs."""
    signer = _SIGNERS.get(kind)
    if signer is not None:
        return signer(data, url)
    return Post(json.dumps(data).encode())


def _hex_digest(kind: str, text: bytes) -> str:
    return hmac.new(KEYS[kind].encode(), text, hashlib.sha256).hexdigest()


def _mailersend(data: Any, _url: str) -> Post:
    body = json.dumps(data).encode()
    return Post(body, headers={"Signature": _hex_digest("mailersend", body)})


def _mailtrap(data: Any, _url: str) -> Post:
    body = json.dumps(data).encode()
    return Post(body, headers={"Mailtrap-Signature": _hex_digest("mailtrap", body)})


def _mailgun(data: Any, _url: str) -> Post:
    part = data["signature"]
    part["signature"] = _hex_digest("mailgun", f"{part['timestamp']}{part['token']}".encode())
    return Post(json.dumps(data).encode())


def _mandrill(data: Any, url: str) -> Post:
    events = json.dumps(data)
    digest = hmac.new(KEYS["mandrill"].encode(), f"{url}mandrill_events{events}".encode(), "sha1")
    return Post(
        urlencode({"mandrill_events": events}).encode(),
        "application/x-www-form-urlencoded",
        {"X-Mandrill-Signature": base64.b64encode(digest.digest()).decode()},
    )


def _postal(data: Any, _url: str) -> Post:
    body = json.dumps(data).encode()
    signature = POSTAL_KEY.sign(body, padding.PKCS1v15(), hashes.SHA1())  # noqa: S303
    return Post(body, headers={"X-Postal-Signature": base64.b64encode(signature).decode()})


def _resend(data: Any, _url: str) -> Post:
    body = json.dumps(data).encode()
    name = f"msg_{hashlib.sha256(body).hexdigest()[:12]}"
    headers = signed_headers(
        secret=KEYS["resend"], message_id=name, timestamp_seconds=int(time.time()), body=body
    )
    return Post(body, headers={n.replace("webhook", "svix"): v for n, v in headers.items()})


def _sendgrid(data: Any, _url: str) -> Post:
    body = json.dumps(data).encode()
    signature = SENDGRID_KEY.sign(str(STAMP).encode() + body, ec.ECDSA(hashes.SHA256()))
    prefix = "X-Twilio-Email-Event-Webhook-"
    return Post(
        body,
        headers={
            f"{prefix}Signature": base64.b64encode(signature).decode(),
            f"{prefix}Timestamp": str(STAMP),
        },
    )


def _unisender_go(data: Any, _url: str) -> Post:
    body = json.dumps(data | {"auth": "unisender-key"}).encode()
    digest = hashlib.md5(body).hexdigest()  # noqa: S324
    return Post(body.replace(b"unisender-key", digest.encode()))


_SIGNERS = {
    "mailersend": _mailersend,
    "mailtrap": _mailtrap,
    "mailgun": _mailgun,
    "mandrill": _mandrill,
    "postal": _postal,
    "resend": _resend,
    "sendgrid": _sendgrid,
    "unisender_go": _unisender_go,
}
