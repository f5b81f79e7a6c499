"""Pixels and tracked links: what is answered and what is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError, connection
from django.test import Client, RequestFactory

from accounts.models import User
from delivery import link_keys
from delivery.link_keys import add_link_key, forget_link_keys, key_ring
from delivery.links.tracks import click_head, click_token, open_token, recipient_mark
from delivery.models import TrackingRefusal
from delivery.tracking import clicked
from inbound.models import Hit, HitKind
from inbound.tracking import service
from inbound.tracking.service import client_address, forget_counts
from inbound.tracking.views import location_of
from tests.support.mail import queue

pytestmark = pytest.mark.django_db

BOB = "bob@example.net"
URL = "https://shop.example.com/?a=1&b=2#top"
CHROME = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/120 Safari/537.36"


@pytest.fixture(autouse=True)
def _fresh(settings: Any, tmp_path: Any) -> Iterator[None]:
    settings.STATIC_ROOT = str(tmp_path)
    forget_link_keys()
    forget_counts()
    yield
    forget_counts()


def a_link(url: str = URL, message_id: UUID | None = None, mark: bytes = b"abcd") -> str:
    head = click_head(message_id or uuid4(), mark, 3)
    return f"/c/{click_token(key_ring(), head, url.encode())}"


def a_pixel(message_id: UUID | None = None, mark: bytes = b"abcd") -> str:
    return f"/o/{open_token(key_ring(), message_id or uuid4(), mark)}.gif"


def get(path: str, method: str = "get", **headers: str) -> Any:
    return getattr(Client(), method)(path, headers={"User-Agent": CHROME, **headers})


def test_a_link_leads_where_it_says_and_is_kept() -> None:
    message_id = uuid4()
    answer = get(a_link(message_id=message_id), Purpose="prefetch")
    assert (answer.status_code, answer["Location"]) == (302, URL)
    assert answer["Cache-Control"] == "no-store, private"
    assert answer["Referrer-Policy"] == "no-referrer"
    assert answer["X-Robots-Tag"] == "noindex, nofollow"
    assert not answer.cookies
    assert not answer.has_header("Vary")
    assert answer.content == b""
    hit = Hit.objects.get()
    assert (hit.kind, hit.message_id, hit.url, hit.link_count) == ("click", message_id, URL, 3)
    assert (hit.recipient_mark, hit.method) == (int.from_bytes(b"abcd", "big"), "GET")
    assert (hit.user_agent, hit.address, hit.purpose) == (CHROME, "127.0.0.1", "prefetch")
    assert (hit.verdict, hit.reason, hit.judged_at) == ("", "", None)
    assert (hit.due_at - hit.at).total_seconds() == 20


def test_a_pixel_is_a_dot_of_43_octets_and_is_kept() -> None:
    message_id = uuid4()
    answer = get(a_pixel(message_id, bytes(4)))
    assert (answer.status_code, answer["Content-Type"]) == (200, "image/gif")
    assert len(answer.content) == 43
    assert answer.content[:6] == b"GIF89a"
    assert answer["Cache-Control"] == "no-store, private"
    assert not answer.cookies
    hit = Hit.objects.get()
    assert (hit.kind, hit.message_id, hit.url) == ("open", message_id, "")
    assert hit.recipient_mark is None


def test_a_head_request_is_answered_alike_and_told_apart() -> None:
    assert get(a_link(), "head")["Location"] == URL
    pixel = get(a_pixel(), "head")
    assert (pixel.status_code, pixel["Content-Length"], pixel.content) == (200, "43", b"")
    assert set(Hit.objects.values_list("method", flat=True)) == {"HEAD"}


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch", "options"])
def test_other_methods_are_refused(method: str) -> None:
    for path in (a_link(), a_pixel()):
        answer = get(path, method)
        assert answer.status_code == 405
        assert answer["Allow"] == "GET, HEAD"
    assert not Hit.objects.exists()


@pytest.mark.parametrize("token", ["x", "A" * 90, "é", "..", "A" * 4_000, "%00", "%0d%0a"])
def test_a_forged_token_leads_nowhere_and_is_not_kept(token: str) -> None:
    answer = get(f"/c/{token}")
    assert answer.status_code == 404
    assert not answer.has_header("Location")
    assert "This link does not work" in answer.content.decode()
    assert "form-action 'none'" in answer["Content-Security-Policy"]
    assert answer["Cache-Control"] == "no-store, private"
    assert get(f"/o/{token}.gif").content[:6] == b"GIF89a"
    assert not Hit.objects.exists()


def test_an_altered_or_mixed_up_token_leads_nowhere() -> None:
    path = a_link()
    changed = path[:-1] + ("A" if path[-1] != "A" else "B")
    assert get(changed).status_code == 404
    assert get(path[:-1]).status_code == 404
    assert get(f"{path}?url=https://evil.example/")["Location"] == URL
    pixel = a_pixel()
    assert get(f"/c/{pixel[3:-4]}").status_code == 404
    get(f"/o/{path[3:]}.gif")
    assert not Hit.objects.filter(kind="open").exists()


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://x.example/a?b=c%20d#e", "https://x.example/a?b=c%20d#e"),
        (
            "https://u:p@x.example:8443/[a]{b}|'\"<>^`\\",
            "https://u:p@x.example:8443/[a]{b}|'\"<>^`\\",
        ),
        ("https://x.example/ä b", "https://x.example/%C3%A4%20b"),
        ("https://bücher.example:81/?q=ü", "https://xn--bcher-kva.example:81/?q=%C3%BC"),
        ("https://a@bücher.example/", "https://a@xn--bcher-kva.example/"),
        ("https://x.example/\r\nSet-Cookie: a=b", "https://x.example/%0D%0ASet-Cookie:%20a=b"),
        ("https://\u2028.example/", "https://%E2%80%A8.example/"),
        ("https://[ä/", "https://[%C3%A4/"),
        ("HTTP://X.Example", "HTTP://X.Example"),
    ],
)
def test_an_address_stands_safely_in_the_header(url: str, location: str) -> None:
    assert location_of(url) == location
    assert get(a_link(url))["Location"] == location


def test_links_survive_new_keys() -> None:
    path = a_link()
    add_link_key()
    assert get(path).status_code == 302
    assert get(a_link()).status_code == 302


def _away(*_statement: Any) -> Any:
    raise OperationalError("away")


def test_without_the_database_readers_are_served_and_hits_are_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    link, pixel = a_link(), a_pixel()
    with connection.execute_wrapper(_away):
        assert get(link)["Location"] == URL
        assert get(pixel).status_code == 200
    assert "Opens and clicks are not kept for 5 s" in caplog.text
    # It is not asked again right away.
    get(link)
    assert not Hit.objects.exists()
    forget_counts()
    get(link)
    assert Hit.objects.count() == 1


def test_without_the_database_old_keys_do(monkeypatch: pytest.MonkeyPatch) -> None:
    link = a_link()
    monkeypatch.setattr(link_keys, "CACHE_SECONDS", 0.0)
    with connection.execute_wrapper(_away):
        assert get(link)["Location"] == URL


def test_without_the_database_and_keys_a_link_asks_for_patience() -> None:
    link, pixel = a_link(), a_pixel()
    forget_link_keys()
    with connection.execute_wrapper(_away):
        answer = get(link)
        assert (answer.status_code, answer["Retry-After"]) == (503, "5")
        assert get(pixel).content[:6] == b"GIF89a"


def test_a_flood_is_capped_and_seen() -> None:
    path, other = a_link(), a_link()
    for _ in range(70):
        assert get(path).status_code == 302
    get(other)
    assert Hit.objects.count() == 61
    flood = Hit.objects.get(reason="flood")
    assert flood.verdict == "scanner"
    assert flood.judged_at is not None


def test_who_refuses_later_is_not_watched_any_more(user: User) -> None:
    message = queue(user)
    mark = recipient_mark(message.pk, BOB)
    link, pixel = a_link(message_id=message.pk, mark=mark), a_pixel(message.pk, mark)
    get(link)
    TrackingRefusal.objects.create(address=BOB)
    assert get(link)["Location"] == URL
    assert get(pixel).status_code == 200
    assert Hit.objects.count() == 1
    TrackingRefusal.objects.all().delete()
    get(pixel)
    assert Hit.objects.count() == 2


@pytest.mark.parametrize(
    ("is_behind", "meta", "address"),
    [
        (False, {"REMOTE_ADDR": "192.0.2.1", "HTTP_X_FORWARDED_FOR": "1.1.1.1"}, "192.0.2.1"),
        (
            True,
            {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "1.1.1.1, 192.0.2.1"},
            "192.0.2.1",
        ),
        (True, {"REMOTE_ADDR": "10.0.0.1"}, "10.0.0.1"),
        (True, {"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": "junk"}, None),
        (True, {"HTTP_X_FORWARDED_FOR": " [2001:db8::1] "}, "2001:db8::1"),
        (False, {"REMOTE_ADDR": ""}, None),
        (False, {"REMOTE_ADDR": "fe80::1%eth0"}, "fe80::1"),
    ],
)
def test_the_reader_is_whom_our_proxy_saw(
    settings: Any, meta: dict[str, str], address: str | None, *, is_behind: bool
) -> None:
    settings.BEHIND_PROXY = is_behind
    request = RequestFactory().get("/")
    request.META.pop("REMOTE_ADDR")
    request.META.update(meta)
    assert client_address(request) == address


@pytest.mark.parametrize("agent", ["", "x" * 2_000, "a\x00b", "\udce9", "é漢"])
def test_odd_programs_are_kept_as_far_as_they_can_be(agent: str) -> None:
    request = RequestFactory().get("/", HTTP_USER_AGENT=agent, HTTP_PURPOSE=agent)
    path = urlsplit(a_link()).path[3:]
    track = clicked(path)
    assert track is not None
    service.keep(request, HitKind.CLICK, path, track)
    assert len(Hit.objects.get().user_agent) <= 500
