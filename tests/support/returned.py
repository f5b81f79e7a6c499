"""Mails as mail servers, readers and machines return them."""

from __future__ import annotations

from email.utils import format_datetime
from typing import Any

from django.utils import timezone

from delivery.models import Message
from delivery.return_paths import return_path_for

SETTING = "bounces@example.com"


def path_of(message: Message, *, setting: str = SETTING) -> str:
    """Return the return path that a message is sent with."""
    return return_path_for(setting, message.pk, [entry["a"] for entry in message.recipients])


def message_id_of(message: Message) -> str:
    return f"<{message.pk.hex}@example.com>"


def dsn(to: str = "bounces@example.com", **fields: Any) -> bytes:
    """Return a delivery report as Postfix writes it."""
    values = {
        "final": "bob@example.net",
        "original": "",
        "action": "failed",
        "status": "5.1.1",
        "diagnostic": "smtp; 550 5.1.1 <bob@example.net>: Recipient address rejected: User unknown",
        "own_id": "<dsn-1@mx.example.net>",
        "message_id": "",
        "date": format_datetime(timezone.now()),
    } | fields
    original = f"Original-Recipient: rfc822;{values['original']}\n" if values["original"] else ""
    returned = f"Message-ID: {values['message_id']}\n" if values["message_id"] else ""
    return f"""Return-Path: <>
Received: from mx.example.net by mail.example.com; Fri, 20 Nov 2026 10:00:00 +0000
Date: {values["date"]}
From: MAILER-DAEMON@mx.example.net (Mail Delivery System)
Subject: Undelivered Mail Returned to Sender
To: {to}
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status;
\tboundary="A1B2.1/mx.example.net"
Message-Id: {values["own_id"]}

This is a MIME-encapsulated message.

--A1B2.1/mx.example.net
Content-Description: Notification
Content-Type: text/plain; charset=us-ascii

This is the mail system at host mx.example.net.

I'm sorry to have to inform you that your message could not
be delivered to one or more recipients.

--A1B2.1/mx.example.net
Content-Description: Delivery report
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net
Arrival-Date: Fri, 20 Nov 2026 09:59:00 +0000 (UTC)

Final-Recipient: rfc822; {values["final"]}
{original}Action: {values["action"]}
Status: {values["status"]}
Diagnostic-Code: {values["diagnostic"]}

--A1B2.1/mx.example.net
Content-Description: Undelivered Message
Content-Type: message/rfc822

{returned}From: shop@example.com
To: bob@example.net
Subject: Hello

Hi Bob
--A1B2.1/mx.example.net--
""".replace("\n", "\r\n").encode()


def arf(to: str = "bounces@example.com", **fields: Any) -> bytes:
    """Return a feedback report."""
    values = {
        "type": "abuse",
        "rcpt": "bob@example.net",
        "mail_from": "",
        "message_id": "",
        "own_id": "<arf-1@reports.example.net>",
    } | fields
    rcpt = f"Original-Rcpt-To: <{values['rcpt']}>\n" if values["rcpt"] else ""
    sender = f"Original-Mail-From: <{values['mail_from']}>\n" if values["mail_from"] else ""
    returned = f"Message-ID: {values['message_id']}\n" if values["message_id"] else ""
    return f"""From: <abusedesk@example.net>
Date: {format_datetime(timezone.now())}
Subject: FW: Earn money
To: <{to}>
Message-ID: {values["own_id"]}
MIME-Version: 1.0
Content-Type: multipart/report; report-type=feedback-report;
 boundary="part1_13d.2e68ed54_boundary"

--part1_13d.2e68ed54_boundary
Content-Type: text/plain; charset="US-ASCII"

This is an email abuse report.

--part1_13d.2e68ed54_boundary
Content-Type: message/feedback-report

Feedback-Type: {values["type"]}
User-Agent: SomeGenerator/1.0
Version: 1
{sender}{rcpt}
--part1_13d.2e68ed54_boundary
Content-Type: message/rfc822

From: <shop@example.com>
{returned}To: <bob@example.net>
Subject: Hello

Hi
--part1_13d.2e68ed54_boundary--
""".encode()


def plain(to: str = "bounces@example.com", *, text: str = "", **headers: str) -> bytes:
    """Return a mail of one text part; `_` in names of headers stands for `-`."""
    values = {
        "From": "bob@example.net",
        "To": to,
        "Subject": "Hello",
        "Date": format_datetime(timezone.now()),
        "Message-ID": "<plain-1@example.net>",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    head = "".join(f"{name}: {value}\n" for name, value in values.items())
    return f"{head}Content-Type: text/plain; charset=utf-8\n\n{text}\n".encode()
