"""Every provider that django-anymail 15.2 has a send backend for.

Limits and codes are those of the providers' API references; where a reference leaves an ability
open, the careful answer stands here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.adapters.esp import regional, ses
from providers.adapters.esp.fields import Field, FieldType
from providers.adapters.esp.kinds import (
    MEGABYTE,
    Capabilities,
    EspKind,
    Meaning,
    Question,
    Repeat,
    api_url,
    required_api_url,
    secret,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_CREDENTIALS, _ALLOWANCE = Meaning.CREDENTIALS, Meaning.ALLOWANCE
_SENDER, _RECIPIENT = Meaning.SENDER, Meaning.RECIPIENT
_CONTENT, _TROUBLE = Meaning.CONTENT, Meaning.TROUBLE

_API_KEY = secret("api_key", "API key")

AMAZON_SES = EspKind(
    kind="amazon_ses",
    label="Amazon SES",
    description="API v2; mail goes as it is, with attachments and all headers.",
    backend="anymail.backends.amazon_ses",
    fields=ses.FIELDS,
    capabilities=Capabilities(max_bytes=40 * MEGABYTE, max_recipients=50, has_empty_to=True),
    question=Question(""),
    codes=ses.CODES,
    fixed={"configuration_set_name": None, "message_tag_name": None},
    arrange=ses.arranged,
)

BREVO = EspKind(
    kind="brevo",
    label="Brevo",
    backend="anymail.backends.brevo",
    fields=(_API_KEY, api_url("https://api.brevo.com/v3/")),
    capabilities=Capabilities(
        max_bytes=20 * MEGABYTE,
        max_recipients=99,
        has_non_ascii_headers=False,
        has_inline_images=False,
        max_reply_to=1,
        repeat=Repeat.MAIL_HEADER,
    ),
    question=Question("account"),
    codes={
        "unauthorized": _CREDENTIALS,
        "permission_denied": _CREDENTIALS,
        "account_under_validation": _CREDENTIALS,
        "not_enough_credits": _ALLOWANCE,
        "too_many_requests": _ALLOWANCE,
    },
    fixed={"workaround_display_name_bugs": True, "prevent_header_encoding_bugs": True},
)

MAILERSEND = EspKind(
    kind="mailersend",
    label="MailerSend",
    backend="anymail.backends.mailersend",
    fields=(secret("api_token", "API token"), api_url("https://api.mailersend.com/v1/")),
    capabilities=Capabilities(
        max_bytes=25 * MEGABYTE,
        max_recipients=50,
        # Others are for its dearest plan only.
        custom_headers=r"in-reply-to|precedence",
        max_reply_to=1,
        max_tags=5,
        has_metadata=False,
    ),
    question=Question("api-quota"),
    # Said of any success without an id.
    vague_statuses=("failed",),
    fixed={"batch_send_mode": None},
)

MAILGUN = EspKind(
    kind="mailgun",
    label="Mailgun",
    backend="anymail.backends.mailgun",
    fields=(
        secret("api_key", "API key", "The account's key or a domain's sending key."),
        Field(
            "sender_domain",
            "Sending domain",
            "As set up at Mailgun. Empty: the domain of each mail's From.",
            FieldType.DOMAIN,
        ),
        *regional.fields(regional.MAILGUN),
    ),
    capabilities=Capabilities(
        max_bytes=25 * MEGABYTE, max_recipients=1_000, has_own_message_id=True
    ),
    # The send call without a mail: a sending key may ask nothing else.
    question=Question("{sender_domain}/messages", method="POST", fine=(400,)),
    plain_question=("sender_domain", Question("domains?limit=1")),
    fixed={"sender_domain": None},
    arrange=regional.arranger(regional.MAILGUN),
)

MAILJET = EspKind(
    kind="mailjet",
    label="Mailjet",
    backend="anymail.backends.mailjet",
    fields=(
        _API_KEY,
        secret("secret_key", "Secret key"),
        api_url("https://api.mailjet.com/v3.1/"),
    ),
    capabilities=Capabilities(
        max_bytes=15 * MEGABYTE, max_recipients=50, max_reply_to=1, max_tags=1, max_batch=50
    ),
    question=Question("../v3/REST/user"),
    codes={"mj-0013": _RECIPIENT, "send-0008": _SENDER},
)

MAILTRAP = EspKind(
    kind="mailtrap",
    label="Mailtrap",
    backend="anymail.backends.mailtrap",
    fields=(
        secret("api_token", "API token"),
        Field("sandbox_id", "Sandbox", "Its id, to keep mail there instead of sending it."),
        Field(
            "api_url",
            "API address",
            "Only for bulk streams, a proxy or a test server. Empty: the usual one, the sandbox's "
            "if one is named.",
            FieldType.URL,
        ),
    ),
    capabilities=Capabilities(
        max_bytes=10 * MEGABYTE,
        max_recipients=1_000,
        max_tags=1,
        has_smtputf8=True,
        max_batch=500,
    ),
    question=Question("send/{sandbox_id}", method="POST", fine=(400, 422)),
    plain_question=("sandbox_id", Question("send", method="POST", fine=(400, 422))),
    arrange=regional.mailtrap,
)

MANDRILL = EspKind(
    kind="mandrill",
    label="Mailchimp Transactional (Mandrill)",
    backend="anymail.backends.mandrill",
    fields=(_API_KEY, api_url("https://mandrillapp.com/api/1.0/")),
    capabilities=Capabilities(max_bytes=25 * MEGABYTE, max_recipients=1_000),
    question=Question("users/ping2.json", method="POST", body={"key": "api_key"}),
    codes={
        "Invalid_Key": _CREDENTIALS,
        "Unknown_Subaccount": _CREDENTIALS,
        "PaymentRequired": _ALLOWANCE,
        "ValidationError": _CONTENT,
        "GeneralError": _TROUBLE,
    },
)

POSTAL = EspKind(
    kind="postal",
    label="Postal",
    description="A server of your own.",
    backend="anymail.backends.postal",
    fields=(
        secret("api_key", "API key", "Of the mail server's credential of type API."),
        required_api_url("Where your Postal is, such as https://postal.example.com."),
    ),
    capabilities=Capabilities(
        max_bytes=14 * MEGABYTE,
        max_recipients=50,
        has_inline_images=False,
        max_reply_to=1,
        max_tags=1,
        has_metadata=False,
    ),
    question=Question(
        "api/v1/send/message",
        method="POST",
        fine_codes=("NoRecipients", "NoContent", "FromAddressMissing", "parameter-error"),
    ),
    codes={
        "InvalidServerAPIKey": _CREDENTIALS,
        "AccessDenied": _CREDENTIALS,
        "ServerSuspended": _CREDENTIALS,
        "UnauthenticatedFromAddress": _SENDER,
        "NoRecipients": _CONTENT,
        "NoContent": _CONTENT,
        "TooManyToAddresses": _CONTENT,
        "TooManyCCAddresses": _CONTENT,
        "TooManyBCCAddresses": _CONTENT,
        "FromAddressMissing": _CONTENT,
        "AttachmentMissingName": _CONTENT,
        "AttachmentMissingData": _CONTENT,
        "parameter-error": _CONTENT,
        "InternalServerError": _TROUBLE,
    },
)

POSTMARK = EspKind(
    kind="postmark",
    label="Postmark",
    backend="anymail.backends.postmark",
    fields=(
        secret("server_token", "Server token", "Of the server, not of the account."),
        Field("message_stream", "Message stream", "Its id. Empty: the transactional one."),
        api_url("https://api.postmarkapp.com/"),
    ),
    capabilities=Capabilities(
        max_bytes=10 * MEGABYTE,
        max_recipients=50,
        has_own_message_id=True,
        max_tags=1,
        has_empty_to=True,
        max_batch=500,
    ),
    question=Question("server"),
    codes={
        "10": _CREDENTIALS,
        "412": _SENDER,
        "413": _CREDENTIALS,
        "400": _SENDER,
        "401": _SENDER,
        "405": _ALLOWANCE,
        "406": _RECIPIENT,
    },
    fixed={"message_stream": None, "use_bulk_api": False, "generate_message_id": False},
)

RESEND = EspKind(
    kind="resend",
    label="Resend",
    backend="anymail.backends.resend",
    fields=(_API_KEY, api_url("https://api.resend.com/")),
    capabilities=Capabilities(
        max_bytes=40 * MEGABYTE,
        max_recipients=50,
        repeat=Repeat.HTTP_HEADER,
        max_batch=100,
    ),
    question=Question("emails", method="POST", fine=(400, 422)),
    codes={
        "missing_api_key": _CREDENTIALS,
        "invalid_api_key": _CREDENTIALS,
        "restricted_api_key": _CREDENTIALS,
        "rate_limit_exceeded": _ALLOWANCE,
        "daily_quota_exceeded": _ALLOWANCE,
        "monthly_quota_exceeded": _ALLOWANCE,
        "invalid_from_address": _SENDER,
        "invalid_attachment": _CONTENT,
    },
    fixed={"verify_attachment_extensions": True},
)

SCALEWAY = EspKind(
    kind="scaleway",
    label="Scaleway TEM",
    backend="anymail.backends.scaleway",
    fields=(
        secret("secret_key", "Secret key", "Of an API key that may send e-mail."),
        Field("project_id", "Project", "Its id.", is_required=True),
        Field("region", "Region", default="fr-par"),
        Field(
            "api_url",
            "API address",
            "Only for a proxy or a test server. Empty: the region's.",
            FieldType.URL,
        ),
    ),
    capabilities=Capabilities(
        max_bytes=2 * MEGABYTE, max_recipients=10, has_inline_images=False, max_tags=10
    ),
    question=Question("emails?project_id={project_id}&page_size=1"),
    codes={
        "denied_authentication": _CREDENTIALS,
        "permissions_denied": _CREDENTIALS,
        "quotas_exceeded": _ALLOWANCE,
        "too_many_requests": _ALLOWANCE,
        "invalid_arguments": _CONTENT,
    },
    arrange=regional.scaleway,
)

SENDGRID = EspKind(
    kind="sendgrid",
    label="SendGrid",
    backend="anymail.backends.sendgrid",
    fields=(_API_KEY, *regional.fields(regional.SENDGRID)),
    capabilities=Capabilities(
        max_bytes=30 * MEGABYTE, max_recipients=1_000, has_own_message_id=True, max_tags=10
    ),
    question=Question("scopes"),
    fixed={
        # Empty, not None: None would be looked up in Django's settings.
        "username": "",
        "password": "",
        "generate_message_id": True,
        "merge_field_format": None,
    },
    arrange=regional.arranger(regional.SENDGRID),
)

SPARKPOST = EspKind(
    kind="sparkpost",
    label="SparkPost",
    backend="anymail.backends.sparkpost",
    fields=(
        _API_KEY,
        Field("subaccount", "Subaccount", "Its number.", FieldType.INTEGER, minimum=1),
        *regional.fields(regional.SPARKPOST),
    ),
    capabilities=Capabilities(max_bytes=20 * MEGABYTE, max_recipients=1_000, max_tags=1),
    question=Question("transmissions/", method="POST", fine=(400, 422)),
    codes={
        "1902": _CONTENT,
        "2101": _ALLOWANCE,
        "2102": _ALLOWANCE,
        "2103": _ALLOWANCE,
        "7001": _SENDER,
        "7002": _SENDER,
    },
    arrange=regional.sparkpost,
)

UNISENDER_GO = EspKind(
    kind="unisender_go",
    label="Unisender Go",
    backend="anymail.backends.unisender_go",
    fields=(
        _API_KEY,
        required_api_url(
            "As your account's page says: https://go1.unisender.ru/ru/transactional/api/v1/ or "
            "https://go2.unisender.ru/ru/transactional/api/v1/."
        ),
    ),
    capabilities=Capabilities(
        max_bytes=10 * MEGABYTE,
        max_recipients=500,
        custom_headers=r"x-.+|list-.+|in-reply-to|references|feedback-id|precedence",
        max_reply_to=1,
        max_tags=4,
        repeat=Repeat.MEMBER,
    ),
    question=Question("system/info.json", method="POST"),
    codes={"114": _CREDENTIALS, "204": _RECIPIENT},
    fixed={"generate_message_id": True, "workaround_display_name_bugs": True},
)

KINDS: dict[str, EspKind] = {
    one.kind: one
    for one in (
        AMAZON_SES,
        BREVO,
        MAILERSEND,
        MAILGUN,
        MAILJET,
        MAILTRAP,
        MANDRILL,
        POSTAL,
        POSTMARK,
        RESEND,
        SCALEWAY,
        SENDGRID,
        SPARKPOST,
        UNISENDER_GO,
    )
}


def kind_schema(kind: str) -> Mapping[str, Any]:
    """Return what an account of this kind is made of, as JSON values. Raises `KeyError`."""
    return KINDS[kind].schema
