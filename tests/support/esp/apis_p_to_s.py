"""Stand-ins for Postal to Scaleway, each after its provider's API reference."""

from __future__ import annotations

from typing import Any

from tests.support.esp.api import Api, bearer, header, json_header
from tests.support.esp.seen import Seen, files, listed, objects
from tests.support.esp.server import Answer, Request

# --- Postal ---------------------------------------------------------------------------------------


def postal() -> Api:
    """Return https://docs.postalserver.io/developer/api: errors come with status 200."""

    def read(request: Request) -> Seen:
        data = request.json
        return Seen(
            sender=listed(data["from"])[0],
            subject=data["subject"],
            text=data["plain_body"],
            html=data.get("html_body", ""),
            to=listed(", ".join(data["to"])),
            cc=listed(", ".join(data.get("cc", []))),
            bcc=listed(", ".join(data.get("bcc", []))),
            reply_to=listed(data.get("reply_to")),
            headers=data.get("headers", {}),
            files=files(data.get("attachments"), "name", "data"),
            tags=[data["tag"]] if "tag" in data else [],
        )

    def accept(seen: Seen) -> Answer:
        messages = {one: {"id": api.new_id(), "token": "t"} for one in seen.recipients}
        return Answer(200, {"status": "success", "flags": {}, "data": {"messages": messages}})

    def error(code: str, text: str) -> Answer:
        return Answer(
            200, {"status": "error", "flags": {}, "data": {"code": code, "message": text}}
        )

    api = Api(
        kind="postal",
        secrets={"api_key": "postal0123456789abcdef"},
        send_path="/api/v1/send/message",
        is_authentic=header("x-server-api-key"),
        read=read,
        accept=accept,
        refused=error(
            "InvalidServerAPIKey", "The API token provided in X-Server-API-Key was not valid."
        ),
        content=error("NoContent", "There is no content defined for this e-mail"),
        sender=error(
            "UnauthenticatedFromAddress",
            "The From address is not authorised to send mail from this server",
        ),
        recipient=lambda bad: Answer(
            422, {"status": "error", "data": {"message": f"to address is invalid: {bad}"}}
        ),
        quota=Answer(
            429,
            {"status": "error", "data": {"message": "Send limit exceeded"}},
            {"Retry-After": "30"},
        ),
    )
    return api


# --- Postmark -------------------------------------------------------------------------------------


def postmark() -> Api:
    """Return https://postmarkapp.com/developer/api/email-api."""

    def read(request: Request) -> Seen:
        return postmark_mail(request.json)

    def accept(seen: Seen) -> Answer:
        said = {"MessageID": api.new_id(), "ErrorCode": 0, "Message": "OK"}
        if seen.to:
            said["To"] = ", ".join(one.email for one in seen.to)
        return Answer(200, said)

    def error(status: int, code: int, text: str) -> Answer:
        return Answer(status, {"ErrorCode": code, "Message": text})

    api = Api(
        kind="postmark",
        secrets={"server_token": "01234567-89ab-cdef-0123-456789abcdef"},
        send_path="/email",
        is_authentic=header("x-postmark-server-token"),
        read=read,
        accept=accept,
        questions={"/server": Answer(200, {"ID": 1, "Name": "Production"})},
        refused=error(
            401,
            10,
            "The Server Token in the X-Postmark-Server-Token request header was invalid.",
        ),
        content=error(422, 300, "Zero recipients specified"),
        sender=error(
            422,
            400,
            "The 'From' address you supplied (a@a.example) is not a Sender Signature.",
        ),
        recipient=lambda bad: error(
            422,
            406,
            (
                "You tried to send to a recipient that has been marked as inactive.\n"
                f"Found inactive addresses: {bad}.\nInactive recipients are ones that have "
                "generated a hard bounce or a spam complaint."
            ),
        ),
        quota=error(422, 405, "Not allowed to send: you have run out of credits"),
    )
    return api


def postmark_mail(data: dict[str, Any]) -> Seen:
    """Return what one message says, of a single call or a batch."""
    headers = {one["Name"]: one["Value"] for one in data.get("Headers", [])}
    attachments = data.get("Attachments", [])
    if headers.pop("X-PM-KeepID", "") != "true":
        headers.pop("Message-ID", None)
    return Seen(
        sender=listed(data["From"])[0],
        subject=data["Subject"],
        text=data["TextBody"],
        html=data.get("HtmlBody", ""),
        to=listed(data.get("To")),
        cc=listed(data.get("Cc")),
        bcc=listed(data.get("Bcc")),
        reply_to=listed(data.get("ReplyTo")),
        headers=headers,
        files=files([a for a in attachments if "ContentID" not in a], "Name", "Content"),
        inline={
            name.removeprefix("cid:"): octets
            for name, octets in files(
                [a for a in attachments if "ContentID" in a], "ContentID", "Content"
            ).items()
        },
        tags=[data["Tag"]] if "Tag" in data else [],
        metadata=data.get("Metadata", {}),
    )


# --- Resend ---------------------------------------------------------------------------------------


def resend() -> Api:
    """Return https://resend.com/docs/api-reference/emails/send-email."""

    def read(request: Request) -> Seen:
        data = request.json
        attachments = data.get("attachments", [])
        headers = data.get("headers", {})
        return Seen(
            sender=listed(data["from"])[0],
            subject=data["subject"],
            text=data["text"],
            html=data.get("html", ""),
            to=listed(", ".join(data["to"])),
            cc=listed(", ".join(data.get("cc", []))),
            bcc=listed(", ".join(data.get("bcc", []))),
            reply_to=listed(", ".join(data.get("reply_to", []))),
            headers=headers,
            files=files([a for a in attachments if "content_id" not in a], "filename", "content"),
            inline=files([a for a in attachments if "content_id" in a], "content_id", "content"),
            tags=list(json_header({"x": headers.get("X-Tags", "[]")}, "x")),
            metadata=json_header(headers, "X-Metadata"),
            repeat_key=request.headers.get("idempotency-key", ""),
        )

    def error(status: int, name: str, text: str) -> Answer:
        return Answer(status, {"statusCode": status, "name": name, "message": text})

    api = Api(
        kind="resend",
        secrets={"api_key": "re_0123456789abcdef"},
        send_path="/emails",
        is_authentic=bearer,
        read=read,
        accept=lambda _: Answer(200, {"id": api.new_id()}),
        refused=error(403, "invalid_api_key", "API key is invalid"),
        content=error(422, "missing_required_field", "Missing `subject` field"),
        sender=error(
            403,
            "validation_error",
            "The a.example domain is not verified. Please, add and verify your domain.",
        ),
        recipient=lambda bad: error(
            422, "validation_error", f"Invalid `to` field. The email address is not valid: {bad}"
        ),
        quota=Answer(
            429,
            {
                "statusCode": 429,
                "name": "daily_quota_exceeded",
                "message": "You have reached your daily email sending quota.",
            },
            {"Retry-After": "30"},
        ),
    )
    return api


# --- Scaleway -------------------------------------------------------------------------------------


def scaleway() -> Api:
    """Return https://www.scaleway.com/en/developers/api/transactional-email/."""

    def read(request: Request) -> Seen:
        data = request.json
        headers = {one["key"]: one["value"] for one in data.get("additional_headers", [])}
        return Seen(
            sender=objects([data["from"]])[0],
            subject=data["subject"],
            text=data["text"],
            html=data.get("html", ""),
            to=objects(data["to"]),
            cc=objects(data.get("cc")),
            bcc=objects(data.get("bcc")),
            reply_to=listed(headers.get("Reply-To")),
            headers=headers,
            files=files(data.get("attachments"), "name", "content"),
            tags=list(json_header({"x": headers.get("X-Tags", "[]")}, "x")),
            metadata=json_header(headers, "X-Metadata"),
        )

    def accept(seen: Seen) -> Answer:
        return Answer(
            200,
            {
                "emails": [
                    {"id": api.new_id(), "mail_rcpt": one, "status": "sending"}
                    for one in seen.recipients
                ]
            },
        )

    api = Api(
        kind="scaleway",
        secrets={"secret_key": "01234567-89ab-cdef-0123-456789abcdef"},
        settings={"project_id": "p1"},
        base="/regions/fr-par/",
        send_path="/regions/fr-par/emails",
        is_authentic=header("x-auth-token"),
        questions={"/regions/fr-par/emails": Answer(200, {"total_count": 0, "emails": []})},
        read=read,
        accept=accept,
        refused=Answer(
            401,
            {
                "message": "authentication is denied",
                "method": "api_key",
                "reason": "not_found",
                "type": "denied_authentication",
            },
        ),
        content=Answer(
            400,
            {
                "type": "invalid_arguments",
                "message": "invalid argument(s)",
                "details": [
                    {"argument_name": "subject", "reason": "required", "help_message": "needed"}
                ],
            },
        ),
        sender=Answer(
            403, {"type": "permissions_denied_x", "message": "domain a.example is not verified"}
        ),
        recipient=lambda bad: Answer(
            400,
            {
                "message": "invalid argument(s)",
                "details": [
                    {
                        "argument_name": "to[0].email",
                        "reason": "constraint",
                        "help_message": f"{bad} is not a valid email",
                    }
                ],
            },
        ),
        quota=Answer(
            403, {"type": "quotas_exceeded", "message": "quota(s) exceeded for this resource"}
        ),
    )
    return api
