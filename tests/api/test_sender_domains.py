"""Sender domains by API."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.api import Api, api_with
from tests.support.dns import name_server
from verification.models import SenderDomain
from verification.services.domains import add_domain


def create(api: Api, domain: str = "example.com", **fields: Any) -> Any:
    response = api.post("/sender-domains", {"domain": domain, **fields})
    assert response.status_code == 201, response.content
    return response.json()


def test_a_domain_is_added_with_what_there_is_to_publish(api, user):
    body = create(api, "Example.com", providers=["mandrill"])
    row = SenderDomain.objects.get()
    assert row.owner_id == user.pk
    checks = body.pop("checks")
    assert body == {
        "id": str(row.pk),
        "domain": "example.com",
        "shared": False,
        "providers": ["mandrill"],
        "spf_includes": [],
        "dkim": [],
        "return_path_domain": None,
        "return_path_target": None,
        "status": "unknown",
        "aligned_providers": [],
        "aligned_below": [],
        "failing_since": None,
        "checked_at": None,
        "next_check_at": row.next_check_at.isoformat(),
        "created_at": row.created_at.isoformat(),
    }
    assert checks[1] == {
        "kind": "dkim",
        "title": "DKIM key mte1",
        "state": "unknown",
        "provider": "mandrill",
        "notes": ["Not checked yet."],
        "record": {
            "name": "mte1._domainkey.example.com",
            "type": "CNAME",
            "value": "dkim1.mandrillapp.com",
        },
        "found": [],
    }


def test_a_check_on_demand_tells_what_was_found(api, settings):
    made = create(api)
    zone = {("example.com", "TXT"): ["v=spf1 +all"], ("example.com", "MX"): ["10 mx.example.com."]}
    with name_server(zone) as server:
        settings.DNS_RESOLVERS = [server.address]
        response = api.post(f"/sender-domains/{made['id']}/check")
        assert response.status_code == 200
        body = response.json()
        assert body["status"] == "fail"
        assert body["checks"][0]["notes"] == ["+all lets everybody send as this domain."]
        assert body["checks"][0]["found"] == ["v=spf1 +all"]
        assert body["checks"][0]["record"]["value"] == "v=spf1 mx ~all"
        assert api.get(f"/sender-domains/{made['id']}").json() == body
        again = api.post(f"/sender-domains/{made['id']}/check")
        assert (again.status_code, again.json()["code"]) == (429, "rate_limited")
        assert 1 <= int(again["Retry-After"]) <= 10


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"domain": "x"}, "domain"),
        ({"providers": ["x"]}, "providers[0]"),
        ({"dkim": [{"selector": "a b"}]}, "dkim[0].selector"),
        ({"owner": "x"}, "owner"),
        ({"state": "pass"}, "state"),
    ],
)
def test_a_wrong_field_is_named(api, fields, field):
    response = api.post("/sender-domains", {"domain": "example.com"} | fields)
    assert response.status_code == 400
    assert list(response.json()["details"]) == [field]
    assert not SenderDomain.objects.exists()


def test_others_do_not_exist_and_shared_ones_are_read_only(api, other):
    mine = create(api)["id"]
    shared = str(add_domain(owner_id=None, values={"domain": "company.example"}).pk)
    assert [row["id"] for row in other.get("/sender-domains").json()["results"]] == [shared]
    for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/check")):
        assert other.send(method, f"/sender-domains/{mine}{path}").status_code == 404
        assert api.send(method, f"/sender-domains/nonsense{path}").status_code == 404
    assert api.get(f"/sender-domains/{shared}").json()["shared"] is True
    assert api.patch(f"/sender-domains/{shared}", {"providers": []}).status_code == 403
    assert api.delete(f"/sender-domains/{shared}").status_code == 403


def test_a_domain_is_changed_and_removed(api):
    made = create(api)
    body = api.patch(
        f"/sender-domains/{made['id']}",
        {"providers": ["postmark"], "return_path_domain": "pm-bounces.example.com"},
    ).json()
    assert body["providers"] == ["postmark"]
    assert body["return_path_domain"] == "pm-bounces.example.com"
    assert api.patch(f"/sender-domains/{made['id']}", {"domain": "b.example"}).status_code == 400
    assert api.delete(f"/sender-domains/{made['id']}").status_code == 204
    assert api.get(f"/sender-domains/{made['id']}").status_code == 404


def test_scopes_keep_reading_and_writing_apart(user):
    reader = api_with(user, "domains:read")
    writer = api_with(user, "domains:write")
    assert reader.get("/sender-domains").status_code == 200
    assert reader.post("/sender-domains", {"domain": "a.example"}).status_code == 403
    assert writer.get("/sender-domains").status_code == 403
    assert create(writer)["domain"] == "example.com"
