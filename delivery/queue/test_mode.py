"""Test mode: mail of test keys is composed and routed in earnest and then goes nowhere."""

from __future__ import annotations

from delivery.queue.senders import AccountSenders
from providers.ports import Outcome, OutgoingMail, Reply, SendResult, Session


class _NowhereSession:
    """A session that takes every mail and sends none."""

    is_usable = True

    def send(self, mail: OutgoingMail) -> SendResult:
        """Accept the mail and drop it."""
        return SendResult(
            Outcome.ACCEPTED, reply=Reply(text=f"Test mode: {len(mail.data)} bytes not sent.")
        )

    def close(self) -> None:
        """Have nothing to close."""


class _NowhereAdapter:
    """Opens sessions that send nothing."""

    def open(self) -> Session:
        """Return a session; never fails."""
        return _NowhereSession()


#: The threads for all test mail of this process; no account's limits or connections are touched.
TEST_SENDERS = AccountSenders(_NowhereAdapter(), max_threads=2, name="test mode")
