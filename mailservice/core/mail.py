"""Mail that the service itself sends, for apps that cannot see the queue."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from django.core.mail import EmailMultiAlternatives

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the queue wants to know of a mail beyond Django's fields."""

    #: Whose mail it is; None: the system's.
    owner_id: UUID | None = None
    api_key_id: UUID | None = None
    #: Everything runs as in earnest, nothing is sent.
    is_test: bool = False
    #: 1 (highest) to 5.
    priority: int | None = None
    #: Id or slug of a template that takes the place of subject and bodies.
    template: str | None = None
    locale: str = ""
    #: Fills the template, or subject and bodies, which are then templates too; None: sent as is.
    context: Mapping[str, Any] | None = None
    #: Beside the context: what only the recipient may read (`mailservice.core.sealed`).
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    #: Name for a From that is not given.
    from_name: str = ""
    #: No use in sending it later.
    expires_at: datetime | None = None


class ServiceMail(EmailMultiAlternatives):
    """A mail with terms, which the queue's backend keeps; no link in it is tracked.

    Send it with `fail_silently=False` and expect `DomainError`. Without `from_email` that of the
    account which sends is used.
    """

    def __init__(self, *, terms: Terms, from_email: str = "", **fields: Any) -> None:
        super().__init__(from_email=from_email or None, **fields)
        self.terms = terms
        self.has_own_sender = bool(from_email)
