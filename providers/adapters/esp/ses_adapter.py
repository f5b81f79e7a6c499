"""Amazon SES accounts as the delivery pipeline sees them, and the test of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore import exceptions as boto  # type: ignore[import-untyped]  # ships no types

from providers.adapters.esp.classify import Stage, refusal_of, without_answer
from providers.adapters.esp.ses import NO_OWN_ENDPOINT
from providers.adapters.esp.ses_session import SesSession
from providers.adapters.esp.settings import settings_of
from providers.ports import ConnectError

if TYPE_CHECKING:
    from providers.ports import AccountConfig


class SesAdapter:
    """One Amazon SES account, which takes mail as written. Raises `SettingsError`."""

    def __init__(self, config: AccountConfig) -> None:
        self._settings = settings_of(config)

    def open(self) -> SesSession:
        """Return a session; its connection is made with the first mail. Raises `ConnectError`."""
        settings = self._settings
        if settings.is_confined and settings.options.get("api_url"):
            # It was allowed when it was saved.
            raise ConnectError(without_answer(Stage.UNSENT, NO_OWN_ENDPOINT).as_result())
        return SesSession(settings)

    def check(self) -> str:
        """Ask for the account's standing. Raises `ConnectError`."""
        session = self.open()
        try:
            account = session.account()
        except boto.ClientError as error:
            answer = session.answer_of(error)
            if "AccessDeniedException" in answer.codes and "GetAccount" in answer.text:
                # Signature and key are good; a policy that allows sending only is a fine one.
                return "Credentials: good; they may not ask for the account's standing."
            raise ConnectError(refusal_of(answer, self._settings.kind).as_result()) from None
        except boto.BotoCoreError as error:
            text = session.in_words(error)
            raise ConnectError(without_answer(Stage.UNSENT, text).as_result()) from None
        finally:
            session.close()
        return _report(account)


def _report(account: dict[str, Any]) -> str:
    quota = account.get("SendQuota", {})
    sent, most = quota.get("SentLast24Hours", 0), quota.get("Max24HourSend", 0)
    can_send = "yes" if account.get("SendingEnabled") else "no"
    is_open = "yes" if account.get("ProductionAccessEnabled") else "no, in the sandbox"
    return "\n".join(
        [
            f"Sending enabled: {can_send}",
            f"Production access: {is_open}",
            f"Sent in 24 hours: {sent:.0f} of {most:.0f}",
            f"Rate: {quota.get('MaxSendRate', 0):g} per second",
        ]
    )
