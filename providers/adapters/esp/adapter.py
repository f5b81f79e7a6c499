"""Accounts at HTTP providers as the delivery pipeline sees them, and the test of a connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from providers.adapters.esp.batch import BATCHES, BatchingSession
from providers.adapters.esp.classify import meaning_of, refusal_of
from providers.adapters.esp.kinds import Meaning
from providers.adapters.esp.session import EspSession
from providers.adapters.esp.settings import settings_of
from providers.ports import ConnectError

if TYPE_CHECKING:
    from providers.adapters.esp.answers import Answer
    from providers.adapters.esp.kinds import EspKind, Question
    from providers.ports import AccountConfig


class EspAdapter:
    """One account at a provider whose API writes the mail. Raises `SettingsError`."""

    takes_parts: Literal[True] = True

    def __init__(self, config: AccountConfig) -> None:
        self._settings = settings_of(config)

    def open(self) -> EspSession:
        """Return a session, a `BatchSession` if the API allows for it.

        Its connection is made with the first mail.
        """
        is_batching = self._settings.kind.kind in BATCHES
        return BatchingSession(self._settings) if is_batching else EspSession(self._settings)

    def check(self) -> str:
        """Ask the API a question that only good credentials get answered; send nothing.

        Raises `ConnectError`.
        """
        session = self.open()
        kind = self._settings.kind
        question = kind.question_for(self._settings.options)
        try:
            answer = session.ask(question)
        finally:
            session.close()
        if not _is_good(answer, question, kind):
            raise ConnectError(refusal_of(answer, kind).as_result())
        return f"Server: {urlsplit(session.api_url).netloc}\nAnswer: HTTP {answer.status}"


def _is_good(answer: Answer, question: Question, kind: EspKind) -> bool:
    if any(code in question.fine_codes for code in answer.codes):
        return True
    meaning = meaning_of(answer, kind)
    if answer.status in question.fine:
        return meaning not in {Meaning.CREDENTIALS, Meaning.ALLOWANCE, Meaning.TROUBLE}
    return answer.status // 100 == 2 and meaning is None  # noqa: PLR2004 - success
