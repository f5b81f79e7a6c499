"""A stand-in for Amazon SES, API v2: it checks the signature and reads the mail as written."""

from __future__ import annotations

import hmac
import re
from base64 import b64decode

from botocore.auth import SigV4Auth  # type: ignore[import-untyped]  # ships no types
from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]  # ships no types
from botocore.credentials import Credentials  # type: ignore[import-untyped]  # ships no types

from tests.support.esp.api import Api
from tests.support.esp.seen import Seen, from_mime
from tests.support.esp.server import Answer, Request

KEY_ID, REGION = "AKIAIOSFODNN7EXAMPLE", "eu-central-1"
_SIGNATURE = re.compile(
    r"AWS4-HMAC-SHA256 Credential=([^/]+)/\d+/[^/]+/ses/aws4_request, "
    r"SignedHeaders=([^,]+), Signature=(\w+)"
)


def amazon_ses() -> Api:
    """Return https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html."""

    def read(request: Request) -> Seen:
        data = request.json
        people = [one for group in data["Destination"].values() for one in group]
        seen = from_mime(b64decode(data["Content"]["Raw"]["Data"]), people)
        seen.metadata = {one["Name"]: one["Value"] for one in data.get("EmailTags", [])}
        return seen

    def error(status: int, code: str, text: str) -> Answer:
        return Answer(status, {"message": text}, {"x-amzn-ErrorType": code})

    account = {
        "SendingEnabled": True,
        "ProductionAccessEnabled": True,
        "SendQuota": {"Max24HourSend": 50000.0, "MaxSendRate": 14.0, "SentLast24Hours": 7.0},
    }
    api = Api(
        kind="amazon_ses",
        secrets={"secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"},
        settings={"access_key_id": KEY_ID, "region": REGION},
        send_path="/v2/email/outbound-emails",
        is_authentic=_is_signed,
        read=read,
        accept=lambda _: Answer(200, {"MessageId": api.new_id()}),
        questions={"/v2/email/account": Answer(200, account)},
        refused=error(
            403,
            "InvalidSignatureException",
            "The request signature we calculated does not match the signature you provided.",
        ),
        content=error(400, "BadRequestException", "Missing required header 'From'."),
        sender=error(
            400,
            "MessageRejected",
            "Email address is not verified. The following identities failed the check in region "
            "EU-CENTRAL-1: a@a.example",
        ),
        recipient=lambda bad: error(400, "MessageRejected", f"Invalid email address: {bad}"),
        quota=error(429, "TooManyRequestsException", "Maximum sending rate exceeded."),
    )
    return api


def _is_signed(request: Request, secrets: dict[str, str]) -> bool:
    """Tell whether the request is signed with our key (Signature Version 4)."""
    found = _SIGNATURE.fullmatch(request.headers.get("authorization", ""))
    if found is None or found[1] != KEY_ID:
        return False
    signed = {name: request.headers[name] for name in found[2].split(";")}
    url = f"http://{request.headers['host']}{request.path}"
    again = AWSRequest(request.method, url, headers=signed, data=request.body)
    again.context["timestamp"] = request.headers["x-amz-date"]
    signer = SigV4Auth(Credentials(KEY_ID, secrets["secret_access_key"]), "ses", REGION)
    to_sign = signer.string_to_sign(again, signer.canonical_request(again))
    return hmac.compare_digest(signer.signature(to_sign, again), found[3])
