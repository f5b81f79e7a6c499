"""Stand-ins for SendGrid to Unisender Go, each after its provider's API reference."""

from __future__ import annotations

from tests.support.esp.api import Api, bearer, header
from tests.support.esp.seen import Seen, files, listed, named, objects, unseen
from tests.support.esp.server import Answer, Request

# --- SendGrid -------------------------------------------------------------------------------------


def sendgrid() -> Api:
    """Return https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send."""

    def read(request: Request) -> Seen:
        data = request.json
        (person,) = data["personalizations"]
        bodies = {one["type"]: one["value"] for one in data["content"]}
        attachments = data.get("attachments", [])
        return Seen(
            sender=objects([data["from"]])[0],
            subject=data["subject"],
            text=bodies["text/plain"],
            html=bodies.get("text/html", ""),
            to=objects(person["to"]),
            cc=objects(person.get("cc")),
            bcc=objects(person.get("bcc")),
            reply_to=objects(data.get("reply_to_list")),
            headers=data.get("headers", {}),
            files=files([a for a in attachments if "content_id" not in a], "filename", "content"),
            inline=files([a for a in attachments if "content_id" in a], "content_id", "content"),
            tags=data.get("categories", []),
            metadata=data.get("custom_args", {}) | person.get("custom_args", {}),
        )

    def accept(seen: Seen) -> Answer:
        api.ids.append(seen.metadata["anymail_id"])
        return Answer(202, b"", {"X-Message-Id": "own", "Content-Type": "text/plain"})

    def error(status: int, text: str, name: str | None = None) -> Answer:
        return Answer(status, {"errors": [{"message": text, "field": name, "help": None}]})

    api = Api(
        kind="sendgrid",
        secrets={"api_key": "SG.0123456789abcdef"},
        base="/v3/",
        send_path="/v3/mail/send",
        is_authentic=bearer,
        read=read,
        accept=accept,
        questions={"/v3/scopes": Answer(200, {"scopes": ["mail.send"]})},
        refused=error(401, "The provided authorization grant is invalid, expired, or revoked"),
        content=error(400, "The subject is required.", "subject"),
        sender=error(403, "The from address does not match a verified Sender Identity.", "from"),
        recipient=lambda bad: error(
            400, f"Does not contain a valid address: {bad}.", "personalizations.0.to.0.email"
        ),
        quota=error(401, "Maximum credits exceeded"),
    )
    return api


# --- SparkPost ------------------------------------------------------------------------------------


def sparkpost() -> Api:
    """Return https://developers.sparkpost.com/api/transmissions/."""

    def read(request: Request) -> Seen:
        data = request.json
        content = data["content"]
        headers = content.get("headers", {})
        to = listed(data["recipients"][0]["address"]["header_to"])
        cc = listed(headers.pop("Cc", None))
        everybody = [one["address"]["email"] for one in data["recipients"]]
        return Seen(
            sender=listed(content["from"])[0],
            subject=content["subject"],
            text=content["text"],
            html=content.get("html", ""),
            to=to,
            cc=cc,
            bcc=unseen(everybody, *to, *cc),
            reply_to=listed(content.get("reply_to")),
            headers=headers,
            files=files(content.get("attachments"), "name", "data"),
            inline=files(content.get("inline_images"), "name", "data"),
            tags=[data["campaign_id"]] if "campaign_id" in data else [],
            metadata=data.get("metadata", {}),
        )

    def accept(seen: Seen) -> Answer:
        count = len(seen.recipients)
        return Answer(
            200,
            {
                "results": {
                    "total_rejected_recipients": 0,
                    "total_accepted_recipients": count,
                    "id": api.new_id(),
                }
            },
        )

    def error(status: int, code: str, text: str, more: str = "") -> Answer:
        return Answer(status, {"errors": [{"message": text, "code": code, "description": more}]})

    api = Api(
        kind="sparkpost",
        secrets={"api_key": "sp0123456789abcdef"},
        base="/api/v1/",
        send_path="/api/v1/transmissions/",
        is_authentic=lambda request, secrets: (
            request.headers.get("authorization") == secrets["api_key"]
        ),
        read=read,
        accept=accept,
        refused=Answer(401, {"errors": [{"message": "Unauthorized."}]}),
        content=error(
            422, "1400", "required field is missing", "content object or template_id required"
        ),
        sender=error(400, "7001", "Unconfigured Sending Domain <a.example>"),
        recipient=lambda bad: error(
            422, "5002", "invalid data format/type", f"address.email: {bad} is not valid in to"
        ),
        quota=error(420, "2102", "Exceed Sending Limit (daily)", "Max messages per day"),
    )
    return api


# --- Unisender Go ---------------------------------------------------------------------------------


def unisender_go() -> Api:
    """Return https://godocs.unisender.ru/web-api-ref#email-send."""

    def read(request: Request) -> Seen:
        data = request.json["message"]
        headers = data.get("headers", {})
        to, cc = listed(headers.pop("to", None)), listed(headers.pop("cc", None))
        everybody = [one["email"] for one in data["recipients"]]
        return Seen(
            sender=named(data.get("from_name"), data["from_email"]),
            subject=data["subject"],
            text=data["body"]["plaintext"],
            html=data["body"].get("html", ""),
            to=to,
            cc=cc,
            bcc=unseen(everybody, *to, *cc),
            reply_to=[named(data.get("reply_to_name"), data["reply_to"])]
            if "reply_to" in data
            else [],
            headers=headers,
            files=files(data.get("attachments"), "name", "content"),
            inline=files(data.get("inline_attachments"), "name", "content"),
            tags=data.get("tags", []),
            metadata=data.get("global_metadata", {}) | data["recipients"][0].get("metadata", {}),
            repeat_key=data.get("idempotence_key", ""),
        )

    def accept(seen: Seen) -> Answer:
        api.ids.append(seen.metadata["anymail_id"])
        return Answer(200, {"status": "success", "job_id": "j1", "emails": seen.recipients})

    def error(status: int, code: int, text: str) -> Answer:
        return Answer(status, {"status": "error", "code": code, "message": text})

    api = Api(
        kind="unisender_go",
        secrets={"api_key": "0123456789abcdef"},
        base="/ru/transactional/api/v1/",
        send_path="/ru/transactional/api/v1/email/send.json",
        is_authentic=header("x-api-key"),
        read=read,
        accept=accept,
        questions={
            "/ru/transactional/api/v1/system/info.json": Answer(
                200, {"status": "success", "user_id": 1}
            )
        },
        refused=error(401, 114, "User with id 0 not found"),
        content=error(400, 150, "Error ID:1. Parameter 'message' is missing"),
        sender=error(403, 905, "Domain 'a.example' is not verified"),
        recipient=lambda bad: Answer(
            400,
            {
                "status": "error",
                "code": 204,
                "message": "No valid recipients",
                "failed_emails": {bad: "invalid"},
            },
        ),
        quota=error(403, 903, "Daily sending quota is exceeded"),
    )
    return api
