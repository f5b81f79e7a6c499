"""Several different mails with one call, where an API takes them and tells of each what it did.

The mails of a call are the same JSON as each would be alone, and each mail's part of the answer is
read as if it had come alone, so nothing is known here that a single call does not know as well.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import requests
from anymail.exceptions import AnymailError  # type: ignore[import-untyped]  # ships no types
from urllib3.exceptions import HTTPError

from providers.adapters.esp.answers import answer_of
from providers.adapters.esp.classify import verdicts_on
from providers.adapters.esp.envelopes import Envelope, envelopes_for, missing_ability
from providers.adapters.esp.kinds import Repeat
from providers.adapters.esp.messages import message_of
from providers.adapters.esp.session import ODD_ANSWER, EspSession, Verdicts, result_of
from providers.ports import Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from providers.adapters.esp.settings import EspSettings
    from providers.mail_parts import MailParts
    from providers.ports import OutgoingMail, SendResult


@dataclass(frozen=True, slots=True)
class BatchCall:
    """How one API takes several mails."""

    #: Relative to the API's URL; names of options in braces.
    path: str
    #: The JSON of the mails becomes the JSON of the call.
    wrap: Callable[[list[Any]], Any]
    #: The JSON of the answer becomes one part per mail.
    unwrap: Callable[[Any], list[Any]]
    #: A part becomes status and JSON of the answer to a single call.
    single: Callable[[Any], tuple[int, Any]]
    has_files: bool = True


def _postmark_single(part: Any) -> tuple[int, Any]:
    return (422 if part["ErrorCode"] else 200), part


def _mailjet_single(part: Any) -> tuple[int, Any]:
    is_taken = part["Status"] == "success"
    return (200 if is_taken else int(part["Errors"][0]["StatusCode"])), {"Messages": [part]}


def _mailtrap_single(part: Any) -> tuple[int, Any]:
    return (200 if part["success"] else 400), part


BATCHES = {
    "mailjet": BatchCall(
        path="send",
        wrap=lambda mails: {
            "Messages": [{**one["Globals"], **one["Messages"][0]} for one in mails]
        },
        unwrap=lambda answer: list(answer["Messages"]),
        single=_mailjet_single,
    ),
    "mailtrap": BatchCall(
        path="batch",
        wrap=lambda mails: {"base": {}, "requests": mails},
        unwrap=lambda answer: list(answer["responses"]),
        single=_mailtrap_single,
    ),
    "postmark": BatchCall(
        path="email/batch",
        wrap=lambda mails: mails,
        unwrap=list,
        single=_postmark_single,
    ),
    "resend": BatchCall(
        path="emails/batch",
        wrap=lambda mails: mails,
        unwrap=lambda answer: list(answer["data"]),
        single=lambda part: (200, part),
        has_files=False,
    ),
}


def _is_for_all(result: SendResult) -> bool:
    """Tell whether the account refused us, and not only what one mail would need."""
    return result.is_account_fault and result.reason is not Reason.CONTENT


@dataclass(frozen=True, slots=True)
class _Entry:
    """One mail of a call."""

    index: int
    mail: OutgoingMail
    envelope: Envelope
    message: Any
    payload: Any


class BatchingSession(EspSession):
    """A session whose API also takes several mails at once."""

    def __init__(self, settings: EspSettings) -> None:
        super().__init__(settings)
        self._batch = BATCHES[settings.kind.kind]
        self.max_batch = settings.kind.capabilities.max_batch

    def send_many(self, mails: Sequence[OutgoingMail]) -> list[SendResult]:
        """Send up to `max_batch` mails; one result each, in their order. Never raises.

        What does not fit into a common call is sent alone, and so is every mail of a call that is
        refused as a whole: one bad mail must not condemn the others. Once the account itself
        refuses, the rest is not tried.
        """
        entries = [entry for index, mail in enumerate(mails) if (entry := self._entry(index, mail))]
        results = self._send_together(entries) if len(entries) > 1 else {}
        refusal = next(filter(_is_for_all, results.values()), None)
        for index, mail in enumerate(mails):
            if index not in results:
                results[index] = refusal or self.send(mail)
                refusal = refusal or (results[index] if _is_for_all(results[index]) else None)
        return [results[index] for index in range(len(mails))]

    def _entry(self, index: int, mail: OutgoingMail) -> _Entry | None:
        """Return the mail's part of a common call, None if it must go alone."""
        parts = mail.parts
        if parts is None or not mail.recipients or not self._fits(mail, parts):
            return None
        (envelope, *more) = envelopes_for(parts, mail.recipients, self._kind.capabilities)
        if more:
            return None
        try:
            message = message_of(mail, parts, envelope, self._kind.capabilities)
            payload = self._payload(message, str(envelope.repeat_key(mail.message_id)))
            # Some payloads are complete only after this.
            payload.serialize_data()
        except (AnymailError, OSError, *ODD_ANSWER):
            # Sent alone, it gets its verdict.
            return None
        return _Entry(index, mail, envelope, message, payload)

    def _fits(self, mail: OutgoingMail, parts: MailParts) -> bool:
        abilities = self._kind.capabilities
        return (self._batch.has_files or not parts.files) and not missing_ability(
            parts, abilities, needs_smtputf8=mail.needs_smtputf8
        )

    def _send_together(self, entries: list[_Entry]) -> dict[int, SendResult]:
        """Return the results by place; empty if the call was refused and each is to go alone."""
        try:
            response = self._post(entries)
        except (HTTPError, OSError, *ODD_ANSWER) as error:
            return {
                one.index: result_of(self._failure(error, one.envelope.recipients), [])
                for one in entries
            }
        try:
            parts = self._batch.unwrap(response.json())
            singles = [self._batch.single(part) for part in parts]
        except ODD_ANSWER:
            singles = []
        if len(singles) != len(entries):
            return self._without_parts(response, entries)
        return {
            one.index: result_of(*self._read_single(one, status, body))
            for one, (status, body) in zip(entries, singles, strict=True)
        }

    def _post(self, entries: list[_Entry]) -> requests.Response:
        usual = entries[0].payload.get_request_params(self.api_url)
        headers = dict(usual["headers"] or {})
        if self._kind.capabilities.repeat is Repeat.HTTP_HEADER:
            keys = "".join(one.payload.headers["Idempotency-Key"] for one in entries)
            headers["Idempotency-Key"] = sha256(keys.encode()).hexdigest()
        body = self._batch.wrap([one.payload.data for one in entries])

        def hand_over() -> None:
            for one in entries:
                one.mail.hand_over()

        self._wire.begin(hand_over)
        self._sent_count += len(entries)
        sandbox = self._settings.options.get("sandbox_id")
        response: requests.Response = self._backend.session.request(
            "POST",
            urljoin(self.api_url, f"{self._batch.path}/{sandbox}" if sandbox else self._batch.path),
            data=json.dumps(body, default=dict),
            headers=headers,
            auth=usual["auth"],
            timeout=self._settings.timeouts,
        )
        return response

    def _without_parts(
        self, response: requests.Response, entries: list[_Entry]
    ) -> dict[int, SendResult]:
        answer = answer_of(response, self._secrets)
        results = {
            one.index: result_of(verdicts_on(answer, self._kind, one.envelope.recipients), [])
            for one in entries
        }
        is_refused = any(
            result.outcome is Outcome.REJECTED or result.recipients for result in results.values()
        )
        return {} if is_refused else results

    def _read_single(self, one: _Entry, status: int, body: Any) -> tuple[Verdicts, list[str]]:
        response = requests.Response()
        response.status_code = status
        response.headers["Content-Type"] = "application/json"
        response.raw = None
        response._content = json.dumps(body).encode()  # noqa: SLF001 - there is no other way to make one
        recipients = one.envelope.recipients
        try:
            self._backend.raise_for_status(response, one.payload, one.message)
        except AnymailError as error:
            return self._failure(error, recipients), []
        return self._read(response, one.payload, one.message, recipients)
