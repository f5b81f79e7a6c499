"""What an account of each kind needs, as the API describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.adapters.esp import KINDS, Capabilities, kind_schema
from providers.adapters.esp.fields import Field, FieldType
from providers.adapters.esp.kinds import described, secret
from providers.models import ProviderKind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Schema = Mapping[str, Any]


_MAX_PORT = 65_535
_MAX_SECONDS = 600
_MAX_LATENCY_MS = 600_000

_SMTP_SECRETS = (secret("password", "Password", "Needed with a user name.", is_required=False),)
_SMTP_SETTINGS = (
    Field("host", "Host", "Name or IP address of the server.", is_required=True),
    Field(
        "port",
        "Port",
        "587 with STARTTLS, 465 with TLS, 25 between servers. Empty: 465 with use_ssl, else 587.",
        FieldType.INTEGER,
        minimum=1,
        maximum=_MAX_PORT,
    ),
    Field(
        "use_tls",
        "STARTTLS",
        "The connection is given up if the server does not offer it.",
        FieldType.BOOLEAN,
        default=False,
    ),
    Field("use_ssl", "TLS from the first byte", "", FieldType.BOOLEAN, default=False),
    Field("username", "User name", "Empty: no login."),
    Field(
        "verify_certificate",
        "Verify the certificate",
        "Off only for a server with its own certificate.",
        FieldType.BOOLEAN,
        default=True,
    ),
    Field(
        "timeout_seconds",
        "Timeout (seconds)",
        "How long to wait for progress.",
        FieldType.INTEGER,
        default=30,
        minimum=1,
        maximum=_MAX_SECONDS,
    ),
    Field(
        "final_timeout_seconds",
        "Timeout after the data (seconds)",
        "How long to wait for the verdict: giving up leaves a mail in doubt. Empty: four times "
        "timeout_seconds.",
        FieldType.INTEGER,
        minimum=1,
        maximum=_MAX_SECONDS,
    ),
    Field(
        "ehlo_name",
        "EHLO name",
        "What to call ourselves. Empty: the connection's own address.",
    ),
    Field(
        "allow_plaintext_auth",
        "Log in without encryption",
        "Sends the password readable to anybody on the way. Rarely right.",
        FieldType.BOOLEAN,
        default=False,
    ),
)
_SIMULATOR_SETTINGS = (
    Field(
        "latency_ms",
        "Latency (ms)",
        "How long each mail takes.",
        FieldType.INTEGER,
        default=0,
        maximum=_MAX_LATENCY_MS,
    ),
    Field(
        "fail_connect",
        "Refuse connections",
        "As if the provider were down.",
        FieldType.BOOLEAN,
        default=False,
    ),
)
_SIMULATOR_RULES: Mapping[str, Any] = {
    "name": "rules",
    "label": "Rules",
    "help": "The first rule that matches a recipient counts, all others are accepted. For example "
    '[{"match": "*@bounce.example", "outcome": "rejected", "reason": "bad_recipient", "code": '
    '550, "text": "5.1.1 No such user"}]. Outcomes: accepted, not_accepted, rejected, unknown.',
    "type": "list",
    "required": False,
    "secret": False,
    "default": [],
}
#: A mail written by us is taken as it is, up to what the other side says itself.
_CAPABILITIES = Capabilities(
    max_bytes=0, max_recipients=0, has_own_message_id=True, has_empty_to=True, has_smtputf8=True
)


def names_of(schema: Schema, part: str) -> frozenset[str]:
    """Return the names of a kind's `settings` or `secrets`."""
    return frozenset(one["name"] for one in schema[part])


def _own(
    kind: ProviderKind,
    label: str,
    description: str,
    settings: Sequence[Mapping[str, Any]] = (),
    secrets: Sequence[Mapping[str, Any]] = (),
) -> Schema:
    """Return the description of a kind that speaks no HTTP, of the same shape as the others."""
    capabilities = {name: getattr(_CAPABILITIES, name) for name in Capabilities.__slots__}
    return {
        "kind": kind.value,
        "label": label,
        "description": description,
        "secrets": secrets,
        "settings": settings,
        "capabilities": capabilities | {"max_bytes": None, "max_recipients": None},
    }


#: What each kind needs: its `settings` and `secrets`; our own kinds first.
SCHEMAS: Mapping[str, Schema] = {
    schema["kind"]: schema
    for schema in (
        _own(
            ProviderKind.SMTP,
            "SMTP account",
            "A mail server with host, port and login.",
            [described(one) for one in _SMTP_SETTINGS],
            [described(one) for one in _SMTP_SECRETS],
        ),
        _own(
            ProviderKind.INBOX,
            "Local inbox",
            "Keeps mail here to be read by operators. For development: nothing leaves the machine.",
        ),
        _own(
            ProviderKind.SIMULATOR,
            "Simulator",
            "Delivers nowhere and fails on request. For drills, tests and load runs.",
            [*(described(one) for one in _SIMULATOR_SETTINGS), _SIMULATOR_RULES],
        ),
        *(kind_schema(kind) for kind in KINDS),
    )
}
