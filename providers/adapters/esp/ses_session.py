"""Amazon SES: mail goes as we have written it, through one boto3 client per session."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from anymail.exceptions import AnymailError  # type: ignore[import-untyped]  # ships no types
from anymail.message import AnymailMessage  # type: ignore[import-untyped]  # ships no types
from botocore import exceptions as boto  # type: ignore[import-untyped]  # ships no types
from botocore.parsers import (  # type: ignore[import-untyped]  # ships no types
    ResponseParserError,
)

from providers.adapters.esp.answers import Answer, Secrets, retry_after_in
from providers.adapters.esp.classify import Stage, verdicts_on, without_answer
from providers.adapters.esp.faults import innermost
from providers.adapters.esp.messages import METADATA_KEY
from providers.adapters.esp.session import (
    ODD_ANSWER,
    Verdicts,
    backend_of,
    result_of,
    stopper_in,
)
from providers.adapters.outcomes import Verdict
from providers.ports import ConnectError, Outcome, Reason, Reply, Scope

if TYPE_CHECKING:
    from collections.abc import Sequence

    from providers.adapters.esp.settings import EspSettings
    from providers.ports import OutgoingMail, SendResult

#: Raised before a request has left.
_UNSENT = (
    boto.ConnectTimeoutError,
    boto.EndpointConnectionError,
    boto.ProxyConnectionError,
    boto.SSLError,
)


def _is_fit_to_print(record: logging.LogRecord) -> bool:
    return record.levelno > logging.DEBUG


# At DEBUG these write down headers, what is signed, and any echo: a session token included.
for _name in ("botocore.auth", "botocore.endpoint", "botocore.parsers"):
    logging.getLogger(_name).addFilter(_is_fit_to_print)


class _Written:
    """A finished mail where anymail expects one that can still be changed."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def walk(self) -> tuple[()]:
        """Return no parts: ours are 7-bit already."""
        return ()

    def as_bytes(self) -> bytes:
        """Return the mail."""
        return self._data


class _WrittenMessage(AnymailMessage):  # type: ignore[misc]  # ships no types
    """A message that is sent as it was written, to the recipients named here."""

    written: _Written

    def message(self) -> _Written:
        """Return the mail as written."""
        return self.written


class SesSession:
    """One warm connection to Amazon SES; one thread at a time. Raises `ConnectError`."""

    def __init__(self, settings: EspSettings) -> None:
        self._settings = settings
        self._kind = settings.kind
        self._secrets = Secrets(settings.secrets)
        self._sent_count = 0
        self._is_alive = True
        self._stage = Stage.UNSENT
        self._mail: OutgoingMail | None = None
        try:
            self._backend = backend_of(settings)
            self._backend.open()
        except (boto.BotoCoreError, ValueError) as error:
            text = self.in_words(error)
            raise ConnectError(without_answer(Stage.UNSENT, text).as_result()) from None
        events = self._backend.client.meta.events
        events.register("before-send.sesv2.SendEmail", self._note_sending)

    @property
    def is_usable(self) -> bool:
        """False once the API could not be reached, past the cap or closed."""
        cap = self._settings.max_messages_per_connection
        return self._is_alive and (not cap or self._sent_count < cap)

    def close(self) -> None:
        """Release the connection. Never raises."""
        self._is_alive = False
        with suppress(boto.BotoCoreError):
            self._backend.close()

    def account(self) -> dict[str, Any]:
        """Return what SES says of the account. Raises botocore's exceptions."""
        found: dict[str, Any] = self._backend.client.get_account()
        return found

    def in_words(self, error: Exception) -> str:
        """Return what went wrong below HTTP, without secrets."""
        return self._secrets.one_line(innermost(error))

    def answer_of(self, error: boto.ClientError) -> Answer:
        """Return an error answer in the words of all providers."""
        return _answer_of(error.response, self._secrets)

    def send(self, mail: OutgoingMail) -> SendResult:
        """Send one mail to `mail.recipients` and nobody else. Never raises."""
        refusal = self._refusal(mail)
        if refusal is not None:
            return refusal.as_result()
        data = bytes(mail.data)
        most = self._kind.capabilities.max_recipients
        verdicts: Verdicts = []
        ids: list[str] = []
        for start in range(0, len(mail.recipients), most):
            recipients = mail.recipients[start : start + most]
            stopper = stopper_in(verdicts)
            if stopper is not None:
                verdicts += [(address, stopper) for address in recipients]
                continue
            found, own_id = self._call(mail, data, recipients)
            verdicts += found
            ids += [own_id] if own_id else []
        return result_of(verdicts, ids)

    def _refusal(self, mail: OutgoingMail) -> Verdict | None:
        if not mail.recipients:
            reply = Reply(text="the mail names no recipient")
            return Verdict(Outcome.REJECTED, Reason.OTHER, reply=reply)
        if not self._is_alive:
            return without_answer(Stage.UNSENT, "the connection is closed")
        abilities = self._kind.capabilities
        if mail.needs_smtputf8:
            lack = "addresses beyond ASCII"
        elif len(mail.data) > abilities.max_bytes:
            lack = f"mail of {len(mail.data)} bytes"
        else:
            return None
        reply = Reply(text=f"{self._kind.label} does not take {lack}")
        return Verdict(Outcome.NOT_ACCEPTED, Reason.CONTENT, Scope.PROVIDER, reply)

    def _call(
        self, mail: OutgoingMail, data: bytes, recipients: Sequence[str]
    ) -> tuple[Verdicts, str]:
        self._mail, self._stage = mail, Stage.UNSENT
        self._sent_count += 1
        message = _WrittenMessage(from_email=mail.return_path or recipients[0], to=list(recipients))
        message.written = _Written(data)
        message.esp_extra = {"EmailTags": [{"Name": METADATA_KEY, "Value": mail.message_id.hex}]}
        try:
            payload = self._backend.build_message_payload(message, {})
            response = self._backend.post_to_esp(payload, message)
            own_id = str(response["MessageId"])
        except (AnymailError, boto.BotoCoreError, ResponseParserError, *ODD_ANSWER) as error:
            return self._failure(error, recipients), ""
        reply = Reply(_status_of(response))
        return [(address, Verdict(Outcome.ACCEPTED, reply=reply)) for address in recipients], own_id

    def _note_sending(self, **_: Any) -> None:
        if self._mail is not None:
            self._mail.hand_over()
        self._stage = Stage.SENT

    def _failure(self, error: Exception, recipients: Sequence[str]) -> Verdicts:
        response = getattr(error, "response", None)
        if response:
            return verdicts_on(_answer_of(response, self._secrets), self._kind, recipients)
        cause = error.__cause__ or error
        text = self.in_words(error)
        stage = Stage.UNSENT if isinstance(cause, _UNSENT) else self._stage
        is_ours = isinstance(cause, boto.ParamValidationError) or not isinstance(
            cause, boto.BotoCoreError
        )
        if stage is Stage.UNSENT and is_ours:
            # Nothing was tried: the mail cannot be said in this API's words.
            verdict = Verdict(Outcome.REJECTED, Reason.CONTENT, reply=Reply(text=text))
        else:
            self._is_alive = False
            verdict = without_answer(stage, text)
        return [(address, verdict) for address in recipients]


def _answer_of(response: dict[str, Any], secrets: Secrets) -> Answer:
    error = response.get("Error", {})
    headers = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    code = str(error.get("Code", ""))
    text = secrets.one_line(f"{code}: {error.get('Message', '')}".strip(": "))
    return Answer(_status_of(response), (code,), text, retry_after_in(headers))


def _status_of(response: dict[str, Any]) -> int:
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
