"""Stand-ins for Brevo to Mandrill, each after its provider's API reference."""

from __future__ import annotations

from mailservice.core.addresses import Address
from tests.support.esp.api import Api, basic, bearer, form_of, header, json_header, json_of
from tests.support.esp.seen import Seen, files, listed, objects
from tests.support.esp.server import Answer, Request

# --- Brevo ----------------------------------------------------------------------------------------


def brevo() -> Api:
    """Return https://developers.brevo.com/reference/sendtransacemail."""

    def read(request: Request) -> Seen:
        data = request.json
        headers = data.get("headers", {})
        return Seen(
            sender=objects([data["sender"]])[0],
            subject=data["subject"],
            text=data["textContent"],
            html=data.get("htmlContent", ""),
            to=objects(data["to"]),
            cc=objects(data.get("cc")),
            bcc=objects(data.get("bcc")),
            reply_to=objects([data["replyTo"]] if "replyTo" in data else []),
            headers=headers,
            files=files(data.get("attachment"), "name", "content"),
            tags=data.get("tags", []),
            metadata=json_header(headers, "X-Mailin-custom"),
            repeat_key=headers.get("idempotencyKey", ""),
        )

    api = Api(
        kind="brevo",
        secrets={"api_key": "xkeysib-0123456789abcdef"},
        base="/v3/",
        send_path="/v3/smtp/email",
        is_authentic=header("api-key"),
        read=read,
        accept=lambda _: Answer(201, {"messageId": api.new_id()}),
        questions={"/v3/account": Answer(200, {"email": "a@a.example", "plan": []})},
        refused=Answer(401, {"message": "Key not found", "code": "unauthorized"}),
        content=Answer(400, {"code": "missing_parameter", "message": "subject is missing"}),
        sender=Answer(
            400,
            {
                "code": "invalid_parameter",
                "message": "sender is not valid: the domain is not verified",
            },
        ),
        recipient=lambda bad: Answer(
            400, {"code": "invalid_parameter", "message": f"email is not valid in to: {bad}"}
        ),
        quota=Answer(402, {"code": "not_enough_credits", "message": "Not enough credits"}),
    )
    return api


# --- MailerSend -----------------------------------------------------------------------------------


def mailersend() -> Api:
    """Return https://developers.mailersend.com/api/v1/email.html."""

    def read(request: Request) -> Seen:
        data = request.json
        attachments = data.get("attachments", [])
        return Seen(
            sender=objects([data["from"]])[0],
            subject=data["subject"],
            text=data["text"],
            html=data.get("html", ""),
            to=objects(data["to"]),
            cc=objects(data.get("cc")),
            bcc=objects(data.get("bcc")),
            reply_to=objects([data["reply_to"]] if "reply_to" in data else []),
            headers={one["name"]: one["value"] for one in data.get("headers", [])}
            | ({"In-Reply-To": data["in_reply_to"]} if "in_reply_to" in data else {}),
            files=files(
                [a for a in attachments if a["disposition"] != "inline"], "filename", "content"
            ),
            inline=files([a for a in attachments if a["disposition"] == "inline"], "id", "content"),
            tags=data.get("tags", []),
        )

    def accept(seen: Seen) -> Answer:
        headers = {"X-Message-Id": api.new_id(), "Content-Type": "text/html"}
        return Answer(202, b"", headers)

    def invalid(name: str, text: str) -> Answer:
        return Answer(422, {"message": text, "errors": {name: [text]}})

    api = Api(
        kind="mailersend",
        secrets={"api_token": "mlsn.0123456789abcdef"},
        base="/v1/",
        send_path="/v1/email",
        is_authentic=bearer,
        read=read,
        accept=accept,
        questions={"/v1/api-quota": Answer(200, {"quota": 1000, "remaining": 999})},
        refused=Answer(401, {"message": "Unauthenticated."}),
        content=invalid("subject", "The subject must be a string. #MS42204"),
        sender=invalid(
            "from.email",
            "The from.email domain must be verified in your account to send emails. #MS42207",
        ),
        recipient=lambda bad: invalid(
            "to.0.email", f"The to.0.email must be a valid email address: {bad}"
        ),
        quota=Answer(429, {"message": "Too Many Attempts."}, {"Retry-After": "30"}),
    )
    return api


# --- Mailgun --------------------------------------------------------------------------------------


def mailgun() -> Api:
    """Return https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages."""

    def read(request: Request) -> Seen:
        fields, parts = form_of(request)
        return Seen(
            sender=listed(fields["from"][0])[0],
            subject=fields["subject"][0],
            text=fields["text"][0],
            html=fields.get("html", [""])[0],
            to=[one for value in fields["to"] for one in listed(value)],
            cc=[one for value in fields.get("cc", []) for one in listed(value)],
            bcc=[one for value in fields.get("bcc", []) for one in listed(value)],
            reply_to=listed(fields.get("h:Reply-To", [""])[0]),
            headers={
                name[2:]: values[0]
                for name, values in fields.items()
                if name.startswith("h:") and name != "h:Reply-To"
            },
            files=dict(parts.get("attachment", [])),
            inline=dict(parts.get("inline", [])),
            tags=fields.get("o:tag", []),
            metadata={name[2:]: v[0] for name, v in fields.items() if name.startswith("v:")},
        )

    def accept(seen: Seen) -> Answer:
        return Answer(200, {"id": api.new_id(), "message": "Queued. Thank you."})

    api = Api(
        kind="mailgun",
        secrets={"api_key": "key-0123456789abcdef"},
        base="/v3/",
        settings={"sender_domain": "mg.a.example"},
        send_path="/v3/mg.a.example/messages",
        is_authentic=basic("api"),
        read=read,
        accept=accept,
        refused=Answer(401, b"Forbidden", {"Content-Type": "text/html"}),
        content=Answer(
            400,
            {"message": "Need at least one of 'text', 'html' or 'template' parameters specified"},
        ),
        sender=Answer(
            403,
            {
                "message": (
                    "Domain mg.a.example is not allowed to send: The domain is unverified and "
                    "requires DNS configuration."
                )
            },
        ),
        recipient=lambda bad: Answer(
            400,
            {"message": f"'to' parameter is not a valid address. please check: {bad}"},
        ),
        quota=Answer(
            429,
            {"message": "Domain mg.a.example is not allowed to send: recipient limit exceeded"},
            {"Retry-After": "30"},
        ),
    )
    return api


# --- Mailjet --------------------------------------------------------------------------------------


def mailjet() -> Api:
    """Return https://dev.mailjet.com/email/reference/send-emails/#v3_1_post_send."""

    def read(request: Request) -> Seen:
        (message,) = request.json["Messages"]
        data = request.json["Globals"] | message

        def people(name: str) -> list[Address]:
            return objects(data.get(name), email="Email", name="Name")

        return Seen(
            sender=objects([data["From"]], email="Email", name="Name")[0],
            subject=data["Subject"],
            text=data["TextPart"],
            html=data.get("HTMLPart", ""),
            to=people("To"),
            cc=people("Cc"),
            bcc=people("Bcc"),
            reply_to=objects(
                [data["ReplyTo"]] if "ReplyTo" in data else [], email="Email", name="Name"
            ),
            headers=data.get("Headers", {}),
            files=files(data.get("Attachments"), "Filename", "Base64Content"),
            inline=files(data.get("InlinedAttachments"), "ContentID", "Base64Content"),
            tags=[data["CustomCampaign"]] if "CustomCampaign" in data else [],
            metadata=json_of(data.get("EventPayload", "{}")),
        )

    def accept(seen: Seen) -> Answer:
        own_id = api.new_id()

        def results(people: list[Address]) -> list[dict[str, str]]:
            return [{"Email": one.email, "MessageID": own_id} for one in people]

        result = {
            "Status": "success",
            "To": results(seen.to),
            "Cc": results(seen.cc),
            "Bcc": results(seen.bcc),
        }
        return Answer(200, {"Messages": [result]})

    def error(code: str, text: str, related: list[str]) -> Answer:
        found = {
            "ErrorCode": code,
            "StatusCode": 400,
            "ErrorMessage": text,
            "ErrorRelatedTo": related,
        }
        return Answer(400, {"Messages": [{"Status": "error", "Errors": [found]}]})

    api = Api(
        kind="mailjet",
        secrets={"api_key": "0123456789abcdef", "secret_key": "fedcba9876543210"},
        base="/v3.1/",
        send_path="/v3.1/send",
        is_authentic=basic(),
        read=read,
        accept=accept,
        questions={"/v3/REST/user": Answer(200, {"Count": 1, "Data": [{}]})},
        refused=Answer(
            401,
            {
                "StatusCode": 401,
                "ErrorMessage": (
                    "API key authentication/authorization failure. You may be unauthorized to "
                    "access the API."
                ),
            },
        ),
        content=error(
            "mj-0003",
            'At least "HTMLPart", "TextPart" or "TemplateID" must be provided.',
            ["HTMLPart"],
        ),
        sender=error(
            "send-0008",
            '"a@a.example" is not an authorized sender email address for your account.',
            ["From"],
        ),
        recipient=lambda bad: error(
            "mj-0013", f'"{bad}" is an invalid email address.', ["To[0].Email"]
        ),
        quota=Answer(
            429, {"StatusCode": 429, "ErrorMessage": "Too many requests"}, {"Retry-After": "30"}
        ),
    )
    return api


# --- Mailtrap -------------------------------------------------------------------------------------


def mailtrap() -> Api:
    """Return https://docs.mailtrap.io/developers/email-sending."""

    def read(request: Request) -> Seen:
        data = request.json
        attachments = data.get("attachments", [])
        reply_to = objects([data["reply_to"]] if "reply_to" in data else [])
        return Seen(
            sender=objects([data["from"]])[0],
            subject=data["subject"],
            text=data["text"],
            html=data.get("html", ""),
            to=objects(data["to"]),
            cc=objects(data.get("cc")),
            bcc=objects(data.get("bcc")),
            reply_to=reply_to or listed(data.get("headers", {}).get("Reply-To")),
            headers=data.get("headers", {}),
            files=files([a for a in attachments if "content_id" not in a], "filename", "content"),
            inline=files([a for a in attachments if "content_id" in a], "content_id", "content"),
            tags=[data["category"]] if "category" in data else [],
            metadata=data.get("custom_variables", {}),
        )

    def accept(seen: Seen) -> Answer:
        return Answer(
            200, {"success": True, "message_ids": [api.new_id() for _ in seen.recipients]}
        )

    def error(status: int, text: str, headers: dict[str, str] | None = None) -> Answer:
        return Answer(status, {"success": False, "errors": [text]}, headers or {})

    api = Api(
        kind="mailtrap",
        secrets={"api_token": "0123456789abcdef0123"},
        base="/api/",
        send_path="/api/send",
        is_authentic=header("api-token"),
        read=read,
        accept=accept,
        refused=error(401, "Unauthorized"),
        content=error(400, "'subject' is required"),
        sender=error(403, "Sending from domain a.example is not allowed"),
        recipient=lambda bad: error(400, f"'to' address is invalid: {bad}"),
        quota=error(429, "Too many requests", {"Retry-After": "30"}),
    )
    return api


# --- Mandrill -------------------------------------------------------------------------------------


def mandrill() -> Api:
    """Return https://mailchimp.com/developer/transactional/api/messages/send-new-message/."""

    def is_authentic(request: Request, secrets: dict[str, str]) -> bool:
        return bool(request.json.get("key") == secrets["api_key"])

    def read(request: Request) -> Seen:
        data = request.json["message"]

        def people(kind: str) -> list[Address]:
            return objects(one for one in data["to"] if one["type"] == kind)

        headers = data.get("headers", {})
        return Seen(
            sender=objects([data], email="from_email", name="from_name")[0],
            subject=data["subject"],
            text=data["text"],
            html=data.get("html", ""),
            to=people("to"),
            cc=people("cc"),
            bcc=people("bcc"),
            reply_to=listed(headers.get("Reply-To")),
            headers=headers,
            files=files(data.get("attachments"), "name", "content"),
            inline=files(data.get("images"), "name", "content"),
            tags=data.get("tags", []),
            metadata=data.get("metadata", {}),
        )

    def accept(seen: Seen) -> Answer:
        return Answer(
            200,
            [
                {"email": one, "status": "sent", "_id": api.new_id(), "reject_reason": None}
                for one in seen.recipients
            ],
        )

    def error(name: str, text: str, code: int = -2) -> Answer:
        return Answer(500, {"status": "error", "code": code, "name": name, "message": text})

    api = Api(
        kind="mandrill",
        secrets={"api_key": "md-0123456789abcdef012"},
        base="/api/1.0/",
        send_path="/api/1.0/messages/send.json",
        is_authentic=is_authentic,
        read=read,
        accept=accept,
        questions={"/api/1.0/users/ping2.json": Answer(200, {"PING": "PONG!"})},
        refused=error("Invalid_Key", "Invalid API key", -1),
        content=error("ValidationError", "You must specify a message value"),
        sender=error(
            "ValidationError", "The sending domain a.example is unverified: domain not verified"
        ),
        recipient=lambda bad: Answer(
            200, [{"email": bad, "status": "invalid", "_id": None, "reject_reason": None}]
        ),
        quota=error("PaymentRequired", "The requested feature requires payment."),
    )
    return api
