"""What providers want in the DNS of a domain they send for, as far as it is the same for everybody.

Values that a provider hands out per account (keys, numbered hosts) are the operator's to paste.
Keys are the names of `Provider.kind`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """A DKIM record by convention; `{dashed}` is the domain with hyphens for dots."""

    selector: str
    type: str = "TXT"
    #: Empty: handed out per account.
    value: str = ""
    #: Whose it is, by kind; empty if that was not said.
    provider: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Convention:
    """One provider's wishes."""

    label: str
    #: Names to include in SPF, the current one first; older ones count as well.
    spf: tuple[str, ...] = ()
    #: Bounces come back to the domain itself (or the provider insists), so SPF must include it.
    needs_spf: bool = False
    keys: tuple[Key, ...] = ()
    #: What stands before the domain in the return path, by habit.
    return_path: str = ""
    #: Where the return path's CNAME leads; empty if it differs per account or is no CNAME.
    return_path_target: str = ""
    #: What to paste from the provider's own pages, in a sentence.
    paste: str = ""


CONVENTIONS: dict[str, Convention] = {
    # https://docs.aws.amazon.com/ses/latest/dg/send-email-authentication-dkim-easy.html
    # https://docs.aws.amazon.com/ses/latest/dg/mail-from.html
    "amazon_ses": Convention(
        label="Amazon SES",
        spf=("amazonses.com",),
        return_path="mail",
        paste="Three CNAME records <token>._domainkey → <token>.dkim.amazonses.com.",
    ),
    # https://help.brevo.com/hc/en-us/articles/12163873383186
    "brevo": Convention(
        label="Brevo",
        spf=("spf.brevo.com", "spf.sendinblue.com"),
        keys=(
            Key("brevo1", "CNAME", "b1.{dashed}.dkim.brevo.com"),
            Key("brevo2", "CNAME", "b2.{dashed}.dkim.brevo.com"),
        ),
    ),
    # https://www.mailersend.com/help/how-to-verify-and-authenticate-a-sending-domain
    "mailersend": Convention(
        label="MailerSend",
        spf=("_spf.mailersend.net",),
        needs_spf=True,
        keys=(Key("mlsend2", "CNAME", "mlsend2._domainkey.mailersend.net"),),
        return_path="mta",
        return_path_target="mailersend.net",
    ),
    # https://documentation.mailgun.com/docs/mailgun/user-manual/domains/domains-verify
    "mailgun": Convention(
        label="Mailgun",
        spf=("mailgun.org", "eu.mailgun.org"),
        needs_spf=True,
        paste="The TXT record of the DKIM key, whose selector differs per domain (pic, mx, s1 …).",
    ),
    # https://documentation.mailjet.com/hc/en-us/articles/360042412734
    "mailjet": Convention(
        label="Mailjet",
        spf=("spf.mailjet.com",),
        needs_spf=True,
        keys=(Key("mailjet"),),
        return_path="bnc3",
        return_path_target="bnc3.mailjet.com",
    ),
    # https://help.mailtrap.io/article/69-sending-domain-setup
    "mailtrap": Convention(
        label="Mailtrap",
        spf=("_spf.smtp.mailtrap.live",),
        keys=(
            Key("rwmt1", "CNAME", "rwmt1.dkim.smtp.mailtrap.live"),
            Key("rwmt2", "CNAME", "rwmt2.dkim.smtp.mailtrap.live"),
        ),
        return_path_target="smtp.mailtrap.live",
        paste="The numbered return path (mt<number>.<domain>).",
    ),
    # https://mailchimp.com/developer/release-notes/new-sending-domain-authentication-requirements
    "mandrill": Convention(
        label="Mandrill (Mailchimp)",
        spf=("spf.mandrillapp.com",),
        keys=(
            Key("mte1", "CNAME", "dkim1.mandrillapp.com"),
            Key("mte2", "CNAME", "dkim2.mandrillapp.com"),
        ),
        return_path_target="mandrillapp.com",
    ),
    # https://docs.postalserver.io/getting-started/dns-configuration
    "postal": Convention(
        label="Postal",
        return_path="psrp",
        paste="The SPF name and the return path's target of your server (spf.… and rp.…), and the "
        "TXT record of the DKIM key (postal-<code>).",
    ),
    # https://postmarkapp.com/support/article/1090-resolving-dkim-verification-issues
    # https://postmarkapp.com/support/article/910-how-do-i-set-up-a-custom-return-path
    "postmark": Convention(
        label="Postmark",
        return_path="pm-bounces",
        return_path_target="pm.mtasv.net",
        paste="The TXT record of the DKIM key (<date>pm._domainkey). SPF at the domain itself is "
        "not needed.",
    ),
    # https://resend.com/docs/dashboard/domains/introduction
    "resend": Convention(
        label="Resend",
        keys=(Key("resend"),),
        return_path="send",
        paste="The TXT record of the DKIM key, and the MX and TXT records of send.<domain>.",
    ),
    # https://www.scaleway.com/en/docs/transactional-email/how-to/add-spf-dkim-records-to-your-domain/
    "scaleway": Convention(
        label="Scaleway TEM",
        spf=("_spf.tem.scaleway.com", "_spf.tem.scw.cloud"),
        needs_spf=True,
        paste="The TXT record of the DKIM key, whose selector is the id of your project.",
    ),
    # https://www.twilio.com/docs/sendgrid/ui/account-and-settings/how-to-set-up-domain-authentication
    "sendgrid": Convention(
        label="SendGrid",
        paste="The CNAME records s1._domainkey and s2._domainkey, and em<number>.<domain> as the "
        "return path; all lead to u<id>.wl<number>.sendgrid.net.",
    ),
    # https://support.sparkpost.com/docs/getting-started/setting-up-domains
    "sparkpost": Convention(
        label="SparkPost",
        return_path="bounces",
        return_path_target="sparkpostmail.com",
        paste="The TXT record of the DKIM key (scph<month><year>).",
    ),
    # https://godocs.unisender.ru/
    "unisender_go": Convention(
        label="Unisender Go",
        spf=("spf.unisender.com", "spf.unisender.ru"),
        needs_spf=True,
        keys=(Key("us"),),
    ),
    "smtp": Convention(
        label="SMTP account",
        needs_spf=True,
        paste="What your mail server's operator names: an SPF include or the server's addresses, "
        "and the selectors of its DKIM keys.",
    ),
}


def conventional_keys(kind: str, domain: str) -> tuple[Key, ...]:
    """Return a provider's DKIM records for a domain, its name filled in."""
    convention = CONVENTIONS.get(kind)
    dashed = domain.replace(".", "-")
    return tuple(
        Key(key.selector, key.type, key.value.format(dashed=dashed), kind)
        for key in (convention.keys if convention else ())
    )
