"""What is special about Amazon SES: credentials, endpoint, and that it takes mail as written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from providers.adapters.esp.fields import Field, FieldType
from providers.adapters.esp.kinds import Meaning

if TYPE_CHECKING:
    from collections.abc import Mapping

FIELDS = (
    Field("access_key_id", "Access key id", is_required=True),
    Field("secret_access_key", "Secret access key", is_required=True, is_secret=True),
    Field("session_token", "Session token", "Of temporary credentials only.", is_secret=True),
    Field("region", "Region", "Such as eu-central-1.", is_required=True),
    Field(
        "configuration_set_name",
        "Configuration set",
        "Which publishes events such as bounces. Empty: the identity's own.",
    ),
    Field(
        "api_url",
        "API address",
        "Only for a VPC endpoint, a proxy or a test server. Empty: the region's.",
        FieldType.URL,
    ),
)

CODES = {
    **dict.fromkeys(
        (
            "AccessDeniedException",
            "AccountSuspendedException",
            "ExpiredTokenException",
            "IncompleteSignature",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "MissingAuthenticationToken",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ),
        Meaning.CREDENTIALS,
    ),
    **dict.fromkeys(
        (
            "LimitExceededException",
            "SendingPausedException",
            "Throttling",
            "ThrottlingException",
            "TooManyRequestsException",
        ),
        Meaning.ALLOWANCE,
    ),
    "MailFromDomainNotVerifiedException": Meaning.SENDER,
    "NotFoundException": Meaning.TROUBLE,
    "BadRequestException": Meaning.CONTENT,
}

#: Its library connects by itself, wherever a name leads.
NO_OWN_ENDPOINT = "Only the company's accounts may name an endpoint: leave it empty."


def arranged(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the arguments for session and client, so that the environment decides nothing."""
    client: dict[str, Any] = {
        "config": {
            "connect_timeout": given["connect_timeout_seconds"],
            "read_timeout": given["timeout_seconds"],
            # Its own repeats could send a mail twice.
            "retries": {"total_max_attempts": 1, "mode": "standard"},
            "max_pool_connections": 1,
            "ignore_configured_endpoint_urls": True,
        }
    }
    if given.get("api_url"):
        client["endpoint_url"] = given["api_url"]
    return {
        "session_params": {
            "aws_access_key_id": given["access_key_id"],
            "aws_secret_access_key": given["secret_access_key"],
            "aws_session_token": given.get("session_token"),
            "region_name": given["region"],
        },
        "client_params": client,
        "configuration_set_name": given.get("configuration_set_name"),
        "message_tag_name": None,
    }
