"""The one shape of every refusal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class DomainError(Exception):
    """A request that cannot be fulfilled, for a reason its author can act upon.

    `code` is stable and machine-readable, `message` a sentence, `details` whatever helps: for
    invalid input a mapping from field path (`to[1].email`) to a list of
    `{"code", "message"}`. Services raise it, edges turn it into HTTP, admin messages or exit codes.
    """

    code = "error"
    http_status = 400

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or type(self).code
        self.details: Mapping[str, Any] = details or {}


class InvalidInputError(DomainError):
    """The input breaks a rule; `details` maps each field path to its faults."""

    code = "invalid"

    @classmethod
    def for_field(cls, field: str, message: str, *, code: str = "invalid") -> InvalidInputError:
        """Return the error for one fault in one field."""
        return cls.for_fields([(field, code, message)])

    @classmethod
    def for_fields(cls, faults: Sequence[tuple[str, str, str]]) -> InvalidInputError:
        """Return the error for (field, code, message) faults; the first one is the summary."""
        details: dict[str, list[dict[str, str]]] = {}
        for field, code, message in faults:
            details.setdefault(field, []).append({"code": code, "message": message})
        field, _, message = faults[0]
        summary = f"{field}: {message}"
        if len(faults) > 1:
            summary += f" (and {len(faults) - 1} more)"
        return cls(summary, details=details)


class NotFoundError(DomainError):
    """There is no such thing, or the asker may not know of it; both read the same."""

    code = "not_found"
    http_status = 404


class ConflictError(DomainError):
    """The thing is in a state that does not allow the request."""

    code = "conflict"
    http_status = 409
