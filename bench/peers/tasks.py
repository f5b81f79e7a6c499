"""Celery tasks as projects write them: a task per mail, a task per hundred."""

from __future__ import annotations

from celery import shared_task
from django.core.mail import get_connection
from django.utils import timezone

from bench.peers.content import message
from bench.peers.models import Mail


@shared_task
def send_one(mail_id: int) -> None:
    """Send one mail over a connection of its own, as most projects do."""
    mail = Mail.objects.get(pk=mail_id)
    message(mail.recipient, mail.context).send()
    Mail.objects.filter(pk=mail_id).update(status="sent", sent_at=timezone.now())


_kept = None


@shared_task
def send_one_kept(mail_id: int) -> None:
    """Send one mail over the process's kept connection."""
    global _kept  # noqa: PLW0603 - one per process
    if _kept is None:
        _kept = get_connection("bench.peers.smtp.KeptBackend")
    mail = Mail.objects.get(pk=mail_id)
    _kept.send_messages([message(mail.recipient, mail.context)])
    Mail.objects.filter(pk=mail_id).update(status="sent", sent_at=timezone.now())


@shared_task
def send_hundred(mail_ids: list[int]) -> None:
    """Send a hundred mails over one connection; read and marked in one statement each."""
    with get_connection() as connection:
        for mail in Mail.objects.filter(pk__in=mail_ids):
            connection.send_messages([message(mail.recipient, mail.context)])
    Mail.objects.filter(pk__in=mail_ids).update(status="sent", sent_at=timezone.now())
