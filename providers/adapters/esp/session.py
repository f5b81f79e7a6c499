"""Accounts at providers with an HTTP API: the port, on top of anymail's backends.

Each session owns a backend with the account's own settings and one watched connection. anymail's
steps (build, post, read the answer) are called one by one, since what an error means depends on the
step, and so that no signal receiver and no setting of the project takes part.
"""

from __future__ import annotations

import json
import warnings
from importlib import import_module
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

from anymail.exceptions import (  # type: ignore[import-untyped]  # ships no types
    AnymailError,
    AnymailUnsupportedFeature,
)
from anymail.message import AnymailMessage  # type: ignore[import-untyped]  # ships no types
from urllib3.exceptions import HTTPError

from providers.adapters.esp.answers import Answer, Secrets, answer_of
from providers.adapters.esp.classify import (
    Stage,
    of_status,
    verdicts_on,
    without_answer,
)
from providers.adapters.esp.envelopes import Envelope, envelopes_for, missing_ability
from providers.adapters.esp.faults import innermost
from providers.adapters.esp.messages import adapt_payload, mark_repeat, message_of
from providers.adapters.esp.transport import WatchedSession, Wire
from providers.adapters.outcomes import Verdict, combine
from providers.ports import ConnectError, Outcome, Reason, Reply, Scope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from providers.adapters.esp.kinds import Question
    from providers.adapters.esp.settings import EspSettings
    from providers.mail_parts import MailParts
    from providers.ports import OutgoingMail, SendResult

#: What anymail's readers raise for an answer of an unexpected shape.
ODD_ANSWER = (AttributeError, IndexError, KeyError, TypeError, ValueError)
_MAX_REMOTE_ID_CHARS = 200

#: What is done about warnings is the same for all threads of a process.
_building = Lock()

Verdicts = list[tuple[str, Verdict]]


def backend_of(settings: EspSettings) -> Any:
    """Return anymail's backend for one account, which asks Django's settings for nothing."""
    with _building, warnings.catch_warnings():
        # That SendGrid is no longer looked after by anymail is what our contract tests are for.
        warnings.simplefilter("ignore")
        backend = import_module(settings.kind.backend).EmailBackend(**settings.backend_arguments())
    # The one setting that it reads past its arguments.
    backend.send_defaults = {}
    return backend


class EspSession:
    """One warm connection to an account's API; one thread at a time."""

    def __init__(self, settings: EspSettings) -> None:
        self._settings = settings
        self._kind = settings.kind
        self._secrets = Secrets(settings.secrets)
        self._wire = Wire()
        self._backend = backend_of(settings)
        self._backend.session = WatchedSession(
            self._backend.api_url, self._wire, is_confined=settings.is_confined
        )
        self._sent_count = 0
        self._is_alive = True

    @property
    def is_usable(self) -> bool:
        """False once the API could not be reached, past the cap or closed."""
        cap = self._settings.max_messages_per_connection
        return self._is_alive and (not cap or self._sent_count < cap)

    def close(self) -> None:
        """Release the connection. Never raises."""
        self._is_alive = False
        self._backend.close()

    def send(self, mail: OutgoingMail) -> SendResult:
        """Send one mail to `mail.recipients` and nobody else. Never raises.

        What the provider cannot do is decided without asking it: the mail is left to another one
        (reason `CONTENT`, scope `PROVIDER`; the account is not at fault). A mail for more people
        than one call takes is sent with several.
        """
        parts = mail.parts
        if parts is None or not mail.recipients:
            reply = Reply(text="the mail names no recipient")
            return Verdict(Outcome.REJECTED, Reason.OTHER, reply=reply).as_result()
        if not self._is_alive:
            return without_answer(Stage.UNSENT, "the connection is closed").as_result()
        abilities = self._kind.capabilities
        lack = missing_ability(parts, abilities, needs_smtputf8=mail.needs_smtputf8)
        if lack is not None:
            return self._unfit(lack).as_result()
        verdicts: Verdicts = []
        ids: list[str] = []
        for envelope in envelopes_for(parts, mail.recipients, abilities):
            stopper = stopper_in(verdicts)
            if stopper is not None:
                # Whoever is left is not tried where the account has just refused.
                verdicts += [(address, stopper) for address in envelope.recipients]
                continue
            found, own_ids = self._call(mail, parts, envelope)
            verdicts += found
            ids += own_ids
        return result_of(verdicts, ids)

    @property
    def api_url(self) -> str:
        """Return where the API is."""
        return str(self._backend.api_url)

    def ask(self, question: Question) -> Answer:
        """Ask something that sends nothing, with the account's credentials.

        Raises `ConnectError` if no answer comes.
        """
        payload = self._backend.build_message_payload(_nothing(), {})
        usual = payload.get_request_params(self.api_url)
        secrets = self._settings.secrets
        body = {member: secrets[name] for member, name in question.body.items()}
        try:
            response = self._backend.session.request(
                question.method,
                urljoin(self.api_url, question.path.format_map(self._settings.options)),
                data=json.dumps(body) if question.method == "POST" else None,
                headers=usual["headers"],
                auth=usual["auth"],
                timeout=self._settings.timeouts,
            )
        except (HTTPError, OSError) as error:
            text = self._secrets.one_line(innermost(error))
            raise ConnectError(without_answer(Stage.UNSENT, text).as_result()) from None
        return answer_of(response, self._secrets)

    def _call(
        self, mail: OutgoingMail, parts: MailParts, envelope: Envelope
    ) -> tuple[Verdicts, list[str]]:
        """Make one call; return a verdict per recipient and the provider's ids."""
        recipients = envelope.recipients
        try:
            message = message_of(mail, parts, envelope, self._kind.capabilities)
        except OSError as error:
            reply = Reply(text=f"a file cannot be read: {type(error).__name__}")
            return _same(recipients, Verdict(Outcome.NOT_ACCEPTED, Reason.OTHER, reply=reply)), []
        self._wire.begin(mail.hand_over)
        self._sent_count += 1
        try:
            payload = self._payload(message, str(envelope.repeat_key(mail.message_id)))
            response = self._backend.post_to_esp(payload, message)
        except AnymailUnsupportedFeature as error:
            return _same(recipients, self._unfit(self._secrets.one_line(str(error.args[0])))), []
        except (AnymailError, HTTPError, OSError, *ODD_ANSWER) as error:
            return self._failure(error, recipients), []
        return self._read(response, payload, message, recipients)

    def _payload(self, message: Any, repeat_key: str) -> Any:
        payload = self._backend.build_message_payload(message, {})
        adapt_payload(payload, self._kind.kind)
        mark_repeat(payload, self._kind.capabilities, repeat_key)
        return payload

    def _read(
        self, response: Any, payload: Any, message: Any, recipients: Sequence[str]
    ) -> tuple[Verdicts, list[str]]:
        """Return what an answer says that is no plain error."""
        answer = answer_of(response, self._secrets)
        try:
            statuses = self._backend.parse_recipient_status(response, payload, message)
            return self._judged(statuses, answer, recipients)
        except (AnymailError, *ODD_ANSWER):
            return verdicts_on(answer, self._kind, recipients), []

    def _judged(
        self, statuses: Mapping[str, Any], answer: Answer, recipients: Sequence[str]
    ) -> tuple[Verdicts, list[str]]:
        by_address = {address.lower(): one for address, one in statuses.items()}
        verdicts: Verdicts = []
        ids: list[str] = []
        for address in recipients:
            one = by_address.get(address.lower())
            verdict = of_status(one.status if one else None, answer, self._kind)
            if one and one.message_id and verdict.outcome is Outcome.ACCEPTED:
                ids.append(str(one.message_id))
            verdicts.append((address, verdict))
        if all(verdict.reason is Reason.BAD_RECIPIENT for _, verdict in verdicts) and not any(
            one.status in {"invalid", "rejected"} for one in statuses.values()
        ):
            # An error for the call as a whole, which anymail reports as one per recipient.
            return verdicts_on(answer, self._kind, recipients), []
        return verdicts, ids

    def _failure(self, error: Exception, recipients: Sequence[str]) -> Verdicts:
        """Return what it means that a call ended with an exception."""
        response = getattr(error, "response", None)
        if response is not None:
            return verdicts_on(answer_of(response, self._secrets), self._kind, recipients)
        text = self._secrets.one_line(innermost(error))
        if not isinstance(error, HTTPError | OSError) and self._wire.stage is Stage.UNSENT:
            # Nothing was tried: the mail cannot be said in this API's words.
            reply = Reply(text=text)
            return _same(recipients, Verdict(Outcome.REJECTED, Reason.CONTENT, reply=reply))
        self._is_alive = False
        return _same(recipients, without_answer(self._wire.stage, text))

    def _unfit(self, lack: str) -> Verdict:
        text = f"{self._kind.label} does not take {lack}"
        return Verdict(Outcome.NOT_ACCEPTED, Reason.CONTENT, Scope.PROVIDER, Reply(text=text))


def _nothing() -> Any:
    """Return a message from which a backend makes its headers; it is never sent."""
    address = "nobody@example.com"
    return AnymailMessage(subject="-", body="-", from_email=address, to=[address])


def _same(recipients: Sequence[str], verdict: Verdict) -> Verdicts:
    return [(address, verdict) for address in recipients]


def result_of(verdicts: Verdicts, ids: Sequence[str]) -> SendResult:
    """Return the result of a mail from its recipients' verdicts and the provider's ids."""
    return combine(verdicts, remote_id=joined_ids(ids), dialogue=dialogue_of(verdicts))


def stopper_in(verdicts: Verdicts) -> Verdict | None:
    """Return the verdict after which nobody else is tried, if there was one."""
    for _, verdict in verdicts:
        if verdict.outcome is Outcome.NOT_ACCEPTED and verdict.scope is Scope.PROVIDER:
            return verdict
        if verdict.outcome is Outcome.UNKNOWN and not verdict.reply.code:
            reply = Reply(text="not tried: the call before got no answer")
            return Verdict(Outcome.NOT_ACCEPTED, Reason.CONNECTION, Scope.PROVIDER, reply)
    return None


def joined_ids(ids: Sequence[str]) -> str:
    """Return the distinct ids, as many as fit, joined by commas."""
    joined = ""
    for one in dict.fromkeys(ids):
        longer = f"{joined},{one}" if joined else one
        if joined and len(longer) > _MAX_REMOTE_ID_CHARS:
            break
        joined = longer
    return joined


def dialogue_of(verdicts: Verdicts) -> str:
    """Return what was answered, per recipient; empty if everybody was accepted."""
    if all(verdict.outcome is Outcome.ACCEPTED for _, verdict in verdicts):
        return ""
    return "\n".join(
        f"{address}: {verdict.outcome} {verdict.reply.code or ''} {verdict.reply.text}".rstrip()
        for address, verdict in verdicts
    )
