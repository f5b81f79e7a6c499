"""What each kind's webhooks are: how they are signed and set up, and what they call hard."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from providers.adapters.esp.kinds import secret
from providers.bounces import BounceClass, BounceVerdict, Side, classify

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from providers.adapters.esp.fields import Field

_DEAD = BounceVerdict(BounceClass.ADDRESS, is_hard=True, side=Side.RECIPIENT)


@dataclass(frozen=True, slots=True)
class HookKind:
    """The webhooks of one kind of provider."""

    #: Module and class of anymail's view that reads them.
    module: str
    view: str
    #: What to do at the provider, a sentence each.
    steps: tuple[str, ...]
    #: With what posts are signed; None if the secret address is all there is.
    key: Field | None = None
    #: Without a key of its own, this credential of the account signs.
    account_secret: str = ""
    #: The reader's argument that takes the key.
    argument: str = ""
    #: Tells from the raw event whether the provider takes the address for dead.
    says_hard: Callable[[Any], bool] | None = None
    #: Posts tell of one event without saying whose; `recipient` is a guess.
    guesses_recipient: bool = False

    def verdict(self, raw: Any, reply: str) -> BounceVerdict:
        """Return what a bounce says; `reply` is what the recipient's server answered.

        A reply that names another cause (mailbox full, policy, content) outweighs the provider, and
        what the provider does not call final is not.
        """
        word = self._word(raw)
        found = classify(0, "", reply, is_permanent=True)
        if found.bounce_class is BounceClass.UNKNOWN:
            return _DEAD if word else found
        is_final = word or self.says_hard is None
        return replace(found, is_hard=found.is_hard and is_final)

    def _word(self, raw: Any) -> bool:
        try:
            return bool(self.says_hard and self.says_hard(raw))
        except (KeyError, TypeError, AttributeError, IndexError):
            return False


def _mandrill(raw: Any) -> bool:
    return str(raw.get("event")) == "hard_bounce" or _reject(raw) in {"hard-bounce", "invalid"}


def _reject(raw: Mapping[str, Any]) -> str:
    return str((raw.get("reject") or {}).get("reason") or "")


def _mailgun(raw: Any) -> bool:
    data = raw["event-data"]
    return (data.get("event"), data.get("severity")) == ("failed", "permanent")


def _resend(raw: Any) -> bool:
    bounce = raw["data"]["bounce"]
    kind = str(bounce.get("type") or "")
    return kind == "Permanent" if kind else "hard bounce" in str(bounce.get("message"))


def _sendgrid(raw: Any) -> bool:
    if raw.get("event") == "dropped":
        return str(raw.get("reason")).lower() in {"bounced address", "invalid"}
    return (raw.get("event"), raw.get("type", "bounce")) == ("bounce", "bounce")


def _sparkpost(raw: Any) -> bool:
    inner = next(iter(raw["msys"].values())) if "msys" in raw else raw
    return str(inner.get("bounce_class")) in {"10", "30"}


_NEW_HOOK = "Add a webhook with the address above."

HOOKS: dict[str, HookKind] = {
    "amazon_ses": HookKind(
        "amazon_ses",
        "AmazonSESTrackingWebhookView",
        (
            "Create an SNS topic (standard) in the region of your account.",
            "In SES, let your configuration set publish all events to that topic.",
            "Subscribe the address above to the topic by HTTPS, without raw message delivery.",
            "That is confirmed by itself; from then on only this topic is believed.",
        ),
        says_hard=lambda raw: raw["bounce"]["bounceType"] == "Permanent",
    ),
    "brevo": HookKind(
        "brevo",
        "BrevoTrackingWebhookView",
        ("Transactional, Settings, Webhook: " + _NEW_HOOK, "Choose all events."),
        says_hard=lambda raw: raw["event"] in {"hard_bounce", "invalid_email"},
    ),
    "mailersend": HookKind(
        "mailersend",
        "MailerSendTrackingWebhookView",
        ("Domains, your domain, Webhooks: " + _NEW_HOOK, "Copy its signing secret to here."),
        key=secret("key", "Signing secret", is_required=False),
        argument="signing_secret",
        says_hard=lambda raw: raw["data"]["type"] == "hard_bounced",
    ),
    "mailgun": HookKind(
        "mailgun",
        "MailgunTrackingWebhookView",
        (
            "Send, Sending, Webhooks: add the address above to every type of event.",
            "Copy the HTTP webhook signing key of the account to here.",
        ),
        key=secret("key", "HTTP webhook signing key", is_required=False),
        argument="webhook_signing_key",
        says_hard=_mailgun,
    ),
    "mailjet": HookKind(
        "mailjet",
        "MailjetTrackingWebhookView",
        ("Account, Event notifications: add the address above to every event, grouped.",),
        says_hard=lambda raw: raw.get("hard_bounce") is True,
    ),
    "mailtrap": HookKind(
        "mailtrap",
        "MailtrapTrackingWebhookView",
        ("Sending, Webhooks: " + _NEW_HOOK, "Copy its signature secret to here."),
        key=secret("key", "Signature secret", is_required=False),
        argument="tracking_secret",
        says_hard=lambda raw: raw["event"] == "bounce",
    ),
    "mandrill": HookKind(
        "mandrill",
        "MandrillCombinedWebhookView",
        ("Settings, Webhooks: " + _NEW_HOOK, "Copy its key to here."),
        key=secret("key", "Webhook key", is_required=False),
        argument="webhook_key",
        says_hard=_mandrill,
    ),
    "postal": HookKind(
        "postal",
        "PostalTrackingWebhookView",
        (
            "Your mail server, Webhooks: " + _NEW_HOOK,
            "Copy the server's public DKIM key (the value of p=) to here.",
        ),
        key=secret("key", "Public key", is_required=False),
        argument="webhook_key",
    ),
    "postmark": HookKind(
        "postmark",
        "PostmarkTrackingWebhookView",
        ("Your server, its message stream, Webhooks: " + _NEW_HOOK, "Choose all events."),
        says_hard=lambda raw: raw.get("Type") in {"HardBounce", "BadEmailAddress"},
    ),
    "resend": HookKind(
        "resend",
        "ResendTrackingWebhookView",
        ("Webhooks: " + _NEW_HOOK, "Choose all events. Copy its signing secret (whsec_…) to here."),
        key=secret("key", "Signing secret", is_required=False),
        says_hard=_resend,
        guesses_recipient=True,
    ),
    "sendgrid": HookKind(
        "sendgrid",
        "SendGridTrackingWebhookView",
        (
            "Settings, Mail settings, Event webhooks: " + _NEW_HOOK,
            "Switch the signed event webhook on and copy its verification key to here.",
        ),
        key=secret("key", "Verification key", is_required=False),
        argument="tracking_webhook_verification_key",
        says_hard=_sendgrid,
    ),
    "sparkpost": HookKind(
        "sparkpost",
        "SparkPostTrackingWebhookView",
        ("Configuration, Webhooks: " + _NEW_HOOK, "Choose all events, no authentication."),
        says_hard=_sparkpost,
    ),
    "unisender_go": HookKind(
        "unisender_go",
        "UnisenderGoTrackingWebhookView",
        ("Webhooks: " + _NEW_HOOK, "Choose JSON. It is signed with the account's API key."),
        account_secret="api_key",  # noqa: S106 - a name
        argument="api_key",
        says_hard=lambda raw: (
            raw["status"] == "hard_bounced"
            and raw["delivery_info"]["delivery_status"]
            in {"err_user_unknown", "err_user_inactive", "err_domain_inactive"}
        ),
    ),
}
