"""`/routing-rules`: the rules of the key's user, the company's to read; `/routing/explain`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone
from rest_framework.exceptions import PermissionDenied
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.api.authentication import key_of
from accounts.models import ApiKey
from accounts.scopes import Scope
from mailservice.core.errors import InvalidInputError, NotFoundError
from mailservice.core.rest import page_body, refuse_unknown
from providers.api.explain_fields import present_decision, read_question
from providers.api.reading import as_id
from providers.api.rule_fields import in_api_words, present, read_rule
from providers.mail_types import fault_of_type
from providers.models import Provider, RoutingRule
from providers.routing import choose, suppose
from providers.rules import create_rule, delete_rule, update_rule
from providers.selectors import take_snapshot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from uuid import UUID

    from rest_framework.request import Request

    from providers.models import RoutingRuleQuerySet
    from providers.rules import RuleChanges


def _readable(request: Request) -> RoutingRuleQuerySet:
    rules = RoutingRule.objects.readable_by(key_of(request).user_id)
    return rules.prefetch_related("targets__provider")


def _find(request: Request, rule_id: str) -> RoutingRule:
    """Return a rule the key may read. Raises `NotFoundError`."""
    wanted = as_id(rule_id)
    rule = _readable(request).filter(pk=wanted).first() if wanted else None
    if rule is None:
        raise NotFoundError("There is no such routing rule.")
    return rule


def _find_own(request: Request, rule_id: str) -> RoutingRule:
    """Return a rule the key may change. Raises `NotFoundError`, `PermissionDenied`."""
    rule = _find(request, rule_id)
    if rule.owner_id != key_of(request).user_id:
        raise PermissionDenied("This rule is the company's: only operators change it.")
    return rule


def _key_names(request: Request, rules: Iterable[RoutingRule]) -> Mapping[UUID, str]:
    """Return the names of the asker's keys among those in the rules; others stay unnamed."""
    ids = {key_id for rule in rules for key_id in rule.api_key_ids}
    if not ids:
        return {}
    own = set(ApiKey.objects.filter(pk__in=ids, user_id=key_of(request).user_id))
    return dict.fromkeys(ids, "another's key") | {key.pk: key.name for key in own}


def _answer(request: Request, rule_id: UUID, message: str, status: int = 200) -> Response:
    rule = _find(request, str(rule_id))
    body = {"message": message, **present(rule, _key_names(request, [rule]))}
    return Response(body, status=status)


class RoutingRules(APIView):
    """List the rules, or create one."""

    scopes = {"GET": Scope.PROVIDERS_READ, "POST": Scope.PROVIDERS_WRITE}

    def get(self, request: Request) -> Response:
        """List own and shared rules in the order in which they count; their number is limited."""
        refuse_unknown(request.query_params, ())
        rules = list(_readable(request).order_by("position", "id"))
        names = _key_names(request, rules)
        return Response(page_body([present(rule, names) for rule in rules], None))

    def post(self, request: Request) -> Response:
        """Create a rule for the mail of the key's user."""
        changes: dict[str, Any] = dict(read_rule(request.data, is_complete=True))
        try:
            rule = create_rule(owner_id=key_of(request).user_id, **changes)
        except InvalidInputError as error:
            raise in_api_words(error) from None
        return _answer(request, rule.pk, "The routing rule is created.", 201)


class RoutingRuleView(APIView):
    """One rule."""

    scopes = {
        "GET": Scope.PROVIDERS_READ,
        "PUT": Scope.PROVIDERS_WRITE,
        "PATCH": Scope.PROVIDERS_WRITE,
        "DELETE": Scope.PROVIDERS_WRITE,
    }

    def get(self, request: Request, rule_id: str) -> Response:
        """Read a rule."""
        rule = _find(request, rule_id)
        return Response(present(rule, _key_names(request, [rule])))

    def put(self, request: Request, rule_id: str) -> Response:
        """Replace a rule: what is not given takes its default."""
        return _update(request, rule_id, read_rule(request.data, is_complete=True))

    def patch(self, request: Request, rule_id: str) -> Response:
        """Change the fields given, also single conditions; null sets the default."""
        return _update(request, rule_id, read_rule(request.data, is_complete=False))

    def delete(self, request: Request, rule_id: str) -> Response:
        """Delete a rule."""
        delete_rule(_find_own(request, rule_id).pk)
        return Response(status=204)


def _update(request: Request, rule_id: str, changes: RuleChanges) -> Response:
    rule = _find_own(request, rule_id)
    try:
        update_rule(rule.pk, **changes)
    except InvalidInputError as error:
        raise in_api_words(error) from None
    return _answer(request, rule.pk, "The routing rule is updated.")


class ExplainRouting(APIView):
    """Which account would take a mail, and why."""

    scopes = {"POST": Scope.PROVIDERS_READ}

    def post(self, request: Request) -> Response:
        """Answer for a mail that does not exist; nothing is written or reserved."""
        key = key_of(request)
        usable = Provider.objects.usable_by(key.user_id).values_list("pk", flat=True)
        facts, what_if = read_question(
            request.data, owner_id=key.user_id, api_key_id=key.pk, known=frozenset(usable)
        )
        if words := fault_of_type(facts.email_type):
            raise InvalidInputError.for_field("email_type", words, code="not_found")
        snapshot = suppose(take_snapshot(timezone.now()), what_if)
        return Response(present_decision(choose(facts, snapshot), snapshot))
