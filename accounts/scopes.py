"""What an API key may do."""

from django.db import models


class Scope(models.TextChoices):
    """The scopes of API keys; a key without a scope cannot do what the scope names."""

    EMAILS_SEND = "emails:send", "Send, cancel, reschedule and retry own mail"
    EMAILS_READ = "emails:read", "Read own mail"
    #: Lifts the limit to the key's own user.
    EMAILS_ALL = "emails:all", "Reach everybody's mail, not only the key's user's"
    PROVIDERS_READ = "providers:read", "Read provider accounts, quotas and performance"
    PROVIDERS_WRITE = "providers:write", "Create, change and delete provider accounts"
    TEMPLATES_READ = "templates:read", "Read templates"
    TEMPLATES_WRITE = "templates:write", "Create and change templates"
    VERIFICATIONS_READ = "verifications:read", "Read verifications of addresses"
    VERIFICATIONS_WRITE = "verifications:write", "Start, resend and cancel verifications"
    #: Not among the defaults: a stolen key must not open the list of redirects.
    VERIFICATIONS_SETTINGS = "verifications:settings", "Change how verifications look and lead"
    DOMAINS_READ = "domains:read", "Read sender domains"
    DOMAINS_WRITE = "domains:write", "Add, check and remove sender domains"
    VALIDATIONS_READ = "validations:read", "Read jobs of address validation and their results"
    VALIDATIONS_WRITE = "validations:write", "Validate addresses; start and stop jobs"
    #: Talks to strangers' servers in our name, so it is given with care.
    VALIDATIONS_PROBE = "validations:probe", "Have mail servers asked about mailboxes"
    SUPPRESSIONS_READ = "suppressions:read", "Read who gets no mail"
    #: They hold for everybody's mail.
    SUPPRESSIONS_WRITE = "suppressions:write", "Add and remove suppressions"
    WEBHOOKS_READ = "webhooks:read", "Read webhook endpoints and their deliveries"
    WEBHOOKS_WRITE = "webhooks:write", "Create, change and replay webhook endpoints"


#: Scopes of a key for which nobody asked for special ones: everything about one's own things.
DEFAULT_SCOPES = [
    Scope.EMAILS_SEND.value,
    Scope.EMAILS_READ.value,
    Scope.PROVIDERS_READ.value,
    Scope.PROVIDERS_WRITE.value,
    Scope.TEMPLATES_READ.value,
    Scope.TEMPLATES_WRITE.value,
    Scope.VERIFICATIONS_READ.value,
    Scope.VERIFICATIONS_WRITE.value,
    Scope.DOMAINS_READ.value,
    Scope.DOMAINS_WRITE.value,
    Scope.VALIDATIONS_READ.value,
    Scope.VALIDATIONS_WRITE.value,
    Scope.SUPPRESSIONS_READ.value,
    Scope.WEBHOOKS_READ.value,
    Scope.WEBHOOKS_WRITE.value,
]
