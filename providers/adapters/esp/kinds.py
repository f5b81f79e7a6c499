"""What is to be known of a provider to serve it: fields, abilities, answers, a cheap question.

`catalog` holds one `EspKind` for each.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from providers.adapters.esp.fields import Field, FieldType

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MEGABYTE = 1_000_000
MANY = 1_000


class Meaning(StrEnum):
    """What an error of a provider speaks of, whatever its HTTP status."""

    #: Our credentials: another account may take the mail.
    CREDENTIALS = "credentials"
    #: Speed, quota or credit of the account.
    ALLOWANCE = "allowance"
    #: This sender is not set up at this account, which is well otherwise.
    SENDER = "sender"
    #: A recipient's address.
    RECIPIENT = "recipient"
    #: The mail itself.
    CONTENT = "content"
    #: The provider's own trouble: nothing was taken.
    TROUBLE = "trouble"


class Repeat(StrEnum):
    """Where a request carries the key by which the provider knows a repeat of it."""

    NONE = ""
    #: The HTTP header `Idempotency-Key`.
    HTTP_HEADER = "http_header"
    #: Brevo's `idempotencyKey` among the mail's headers.
    MAIL_HEADER = "mail_header"
    #: Unisender Go's `idempotence_key` in the message.
    MEMBER = "member"


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a provider can do with a mail. What it cannot is decided before it is called."""

    #: Octets of bodies and encoded files.
    max_bytes: int
    #: To, Cc and Bcc together, of one call.
    max_recipients: int
    #: The mail keeps the Message-ID we gave it; otherwise the provider writes its own.
    has_own_message_id: bool = False
    #: Headers beyond those with fields of their own: all, or only names that match.
    custom_headers: str = r".+"
    has_non_ascii_headers: bool = True
    has_attachments: bool = True
    has_inline_images: bool = True
    max_reply_to: int = MANY
    #: Words for statistics per mail.
    max_tags: int = MANY
    has_metadata: bool = True
    #: A mail may have blind or Cc recipients only.
    has_empty_to: bool = False
    #: Addresses with a local part beyond ASCII (RFC 6531).
    has_smtputf8: bool = False
    #: A repeat of the same call sends nothing twice.
    repeat: Repeat = Repeat.NONE
    #: Different mails of one call; 1 where the API knows no such call or hides its results.
    max_batch: int = 1


@dataclass(frozen=True, slots=True)
class Question:
    """A call that sends nothing but shows whether the credentials are good."""

    #: Relative to the API's URL; names of options in braces.
    path: str
    method: str = "GET"
    #: Members of the JSON body of a POST, and the credentials that are their values.
    body: Mapping[str, str] = field(default_factory=dict)
    #: Error statuses that only a caller with good credentials gets to see.
    fine: tuple[int, ...] = ()
    #: Codes of errors that only a caller with good credentials gets to see.
    fine_codes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class EspKind:
    """One kind of provider that is spoken to through django-anymail."""

    kind: str
    label: str
    #: Module of the backend.
    backend: str
    fields: tuple[Field, ...]
    capabilities: Capabilities
    question: Question
    #: (option, the question where that option is empty).
    plain_question: tuple[str, Question] | None = None
    #: What the account's page says of it.
    description: str = ""
    #: Codes in error answers: `code`, `name`, `ErrorCode` and the like.
    codes: Mapping[str, Meaning] = field(default_factory=dict)
    #: anymail's words for a recipient that tell, after a success, less than they seem to.
    vague_statuses: tuple[str, ...] = ()
    #: Given to the backend besides the fields, so that it asks Django's settings for nothing.
    fixed: Mapping[str, Any] = field(default_factory=dict)
    #: Adds to the backend's arguments what follows from the account's settings.
    arrange: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None

    @property
    def secrets(self) -> tuple[Field, ...]:
        """Return the credentials."""
        return tuple(one for one in self.fields if one.is_secret)

    @property
    def options(self) -> tuple[Field, ...]:
        """Return the settings, those that every kind has included."""
        own = tuple(one for one in self.fields if not one.is_secret)
        return (*own, *TIMEOUTS)

    def question_for(self, options: Mapping[str, Any]) -> Question:
        """Return what to ask the API of an account with these settings."""
        if self.plain_question is not None and not options.get(self.plain_question[0]):
            return self.plain_question[1]
        return self.question

    @property
    def schema(self) -> dict[str, Any]:
        """Return fields and capabilities as JSON values, for forms and API clients."""
        return {
            "kind": self.kind,
            "label": self.label,
            "description": self.description,
            "secrets": [described(one) for one in self.secrets],
            "settings": [described(one) for one in self.options],
            "capabilities": {
                name: getattr(self.capabilities, name) for name in Capabilities.__slots__
            },
        }


TIMEOUTS = (
    Field(
        "connect_timeout_seconds",
        "Connect timeout (seconds)",
        "How long to wait for a connection.",
        FieldType.INTEGER,
        default=10,
        minimum=1,
        maximum=120,
    ),
    Field(
        "timeout_seconds",
        "Timeout (seconds)",
        "How long to wait for the answer. Giving up leaves a mail in doubt: be patient.",
        FieldType.INTEGER,
        default=60,
        minimum=1,
        maximum=600,
    ),
)


def secret(name: str, label: str, help_text: str = "", *, is_required: bool = True) -> Field:
    """Return a credential."""
    return Field(name, label, help_text, is_required=is_required, is_secret=True)


def api_url(default: str) -> Field:
    """Return the address of an API that has a usual one."""
    text = f"Only for another region, a proxy or a test server. Empty: {default}"
    return Field("api_url", "API address", text, FieldType.URL, default=default)


def required_api_url(help_text: str) -> Field:
    """Return the address of an API that has no usual one."""
    return Field("api_url", "API address", help_text, FieldType.URL, is_required=True)


def described(one: Field) -> dict[str, Any]:
    """Return a field as JSON values."""
    described: dict[str, Any] = {
        "name": one.name,
        "label": one.label,
        "help": one.help,
        "type": one.type.value,
        "required": one.is_required,
        "secret": one.is_secret,
        "default": one.default,
    }
    if one.type is FieldType.CHOICE:
        described["choices"] = [{"value": value, "label": label} for value, label in one.choices]
    if one.type is FieldType.INTEGER:
        described |= {"minimum": one.minimum, "maximum": one.maximum}
    return described
