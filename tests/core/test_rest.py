"""JSON in and out, the one shape of errors, pages."""

import logging
from contextlib import suppress
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from uuid import UUID

import orjson
import pytest
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.test import RequestFactory
from django.utils.translation import gettext_lazy
from hypothesis import given
from hypothesis import strategies as st
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from accounts.models import User
from mailservice.core import rest
from mailservice.core.errors import ConflictError, InvalidInputError, NotFoundError
from mailservice.core.ids import uuid7

FACTORY = APIRequestFactory()


class EchoView(APIView):
    authentication_classes = ()
    permission_classes = ()
    renderer_classes = (rest.OrjsonRenderer,)
    parser_classes = (rest.OrjsonParser,)
    content_negotiation_class = rest.JsonNegotiation
    failure: Exception | None = None

    def get_exception_handler(self):
        return rest.exception_handler

    def post(self, request):
        if self.failure:
            raise self.failure
        return Response(request.data)


def post(body=b"{}", content_type="application/json", failure=None, **headers):
    view = EchoView.as_view(failure=failure)
    response = view(FACTORY.generic("POST", "/api/v1/x", body, content_type, headers=headers))
    response.render()
    return response


def test_json_goes_through_unchanged():
    body = {"a": [1, 2.5, None, True, "ü"], "b": {"c": ""}}
    response = post(orjson.dumps(body))
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"
    assert orjson.loads(response.content) == body


@pytest.mark.parametrize(
    "content_type", ["", "application/json; charset=utf-8", "application/vnd.shop+json"]
)
def test_missing_and_related_content_types_are_json(content_type):
    response = post(b'{"a": 1}', content_type)
    assert orjson.loads(response.content) == {"a": 1}


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "*/*", "nonsense"])
def test_answers_are_json_whatever_accept_says(accept):
    response = post(b'{"a": 1}', accept=accept)
    assert (response.status_code, response["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize(
    ("body", "message", "details"),
    [
        (
            b'{"a":\n tru}',
            "The body is not valid JSON: invalid literal, expected 'true' (line 2, column 2).",
            {"line": 2, "column": 2},
        ),
        (b"[]", "The body must be a JSON object.", {}),
        (b'"text"', "The body must be a JSON object.", {}),
        (b"null", "The body must be a JSON object.", {}),
    ],
)
def test_malformed_body_is_explained(body, message, details):
    response = post(body)
    assert response.status_code == 400
    expected = {"code": "malformed_json", "message": message, "details": details}
    assert orjson.loads(response.content) == expected


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}",
        b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}",
        b"{'a': 1}",
        b'{"a": 1}x',
    ],
)
def test_what_json_does_not_allow_is_malformed(body):
    response = post(body)
    assert (response.status_code, response.data["code"]) == (400, "malformed_json")


def test_huge_integers_become_floats():
    assert rest.load_json_object('{"a": 123456789012345678901234567890}') == {
        "a": 1.2345678901234568e29
    }


@given(st.binary() | st.text(alphabet='{}[]",:\\u0 1etrufalsn').map(str.encode))
def test_any_body_is_an_object_or_malformed(body):
    with suppress(rest.MalformedRequestError):
        assert isinstance(rest.load_json_object(body), dict)


def test_oversized_body_is_413(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    response = post(b'{"a": "0123456789"}')
    assert (response.status_code, response.data["code"]) == (413, "too_large")


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (NotFoundError("No such message."), 404, "not_found"),
        (ConflictError("It is sent.", code="already_sent"), 409, "already_sent"),
        (exceptions.NotAuthenticated(), 403, "forbidden"),
        (exceptions.PermissionDenied(), 403, "forbidden"),
        (exceptions.PermissionDenied(code="scope_missing"), 403, "scope_missing"),
        (PermissionDenied("inner words"), 403, "forbidden"),
        (Http404("inner words"), 404, "not_found"),
        (exceptions.NotFound(), 404, "not_found"),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed"),
        (exceptions.NotAcceptable(), 406, "not_acceptable"),
        (exceptions.UnsupportedMediaType("text/csv"), 415, "unsupported_media_type"),
        (exceptions.Throttled(wait=3), 429, "rate_limited"),
        (exceptions.ParseError(), 400, "invalid"),
        (SuspiciousOperation("inner words"), 400, "invalid"),
        (RequestDataTooBig("inner words"), 413, "too_large"),
    ],
)
def test_every_refusal_has_the_one_shape(failure, status, code):
    response = post(failure=failure)
    assert (response.status_code, response.data["code"]) == (status, code)
    assert set(response.data) == {"code", "message", "details"}
    assert isinstance(response.data["message"], str)
    assert response.data["message"]
    assert "inner words" not in response.content.decode()


def test_401_carries_the_challenge():
    failure = exceptions.AuthenticationFailed()
    vars(failure)["auth_header"] = 'Bearer realm="mailservice"'  # as DRF's views set it
    response = rest.exception_handler(failure, {})
    assert response is not None
    assert (response.status_code, response.data["code"]) == (401, "unauthorized")
    assert response["WWW-Authenticate"] == 'Bearer realm="mailservice"'


def test_throttling_says_when_to_return():
    assert post(failure=exceptions.Throttled(wait=2.1))["Retry-After"] == "3"


def test_domain_errors_can_say_when_to_return():
    failure = ConflictError("Still in flight.", details={"retry_after_seconds": 1})
    response = post(failure=failure)
    assert (response.status_code, response["Retry-After"]) == (409, "1")


def test_field_faults_arrive_as_they_were_raised():
    response = post(failure=InvalidInputError.for_field("to[1].email", "Not so.", code="bad"))
    assert orjson.loads(response.content) == {
        "code": "invalid",
        "message": "to[1].email: Not so.",
        "details": {"to[1].email": [{"code": "bad", "message": "Not so."}]},
    }


def test_serializer_errors_are_flattened_to_paths():
    failure = exceptions.ValidationError(
        {
            "name": ["Too long."],
            "hosts": [{}, {"port": ["Not a number."]}],
            "non_field_errors": ["No."],
        }
    )
    assert post(failure=failure).data == {
        "code": "invalid",
        "message": "name: Too long.",
        "details": {
            "name": [{"code": "invalid", "message": "Too long."}],
            "hosts[1].port": [{"code": "invalid", "message": "Not a number."}],
            "": [{"code": "invalid", "message": "No."}],
        },
    }


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_lost_database_is_503_without_details(error, caplog):
    with caplog.at_level(logging.ERROR):
        response = post(failure=error("host db.internal refused"))
    assert (response.status_code, response.data["code"]) == (503, "unavailable")
    assert response["Retry-After"] == "5"
    assert b"db.internal" not in response.content
    assert "db.internal" in caplog.text


def test_anything_else_propagates():
    with pytest.raises(ZeroDivisionError):
        post(failure=ZeroDivisionError())


@pytest.mark.parametrize(
    ("answer", "status", "code"),
    [
        (rest.server_error, 500, "internal_error"),
        (lambda request: rest.page_not_found(request, Http404("secret")), 404, "not_found"),
        (
            lambda request: rest.permission_denied(request, PermissionDenied("secret")),
            403,
            "forbidden",
        ),
        (lambda request: rest.bad_request(request, SuspiciousOperation("secret")), 400, "invalid"),
    ],
)
def test_error_pages_speak_json_under_api_only(answer, status, code):
    response = answer(RequestFactory().get("/api/v1/nowhere"))
    assert (response.status_code, response["Content-Type"]) == (status, "application/json")
    assert orjson.loads(response.content)["code"] == code
    assert b"secret" not in response.content
    page = answer(RequestFactory().get("/nowhere"))
    assert (page.status_code, page["Content-Type"]) == (status, "text/html; charset=utf-8")


def test_json_of_unusual_values():
    data = {
        UUID(int=1): Decimal("1.50"),
        "at": datetime(2026, 1, 2, tzinfo=UTC),
        "lazy": gettext_lazy("word"),
        "set": {"b", "a"},
        "map": MappingProxyType({"x": 1}),
    }
    assert orjson.loads(rest.dump_json(data)) == {
        "00000000-0000-0000-0000-000000000001": "1.50",
        "at": "2026-01-02T00:00:00+00:00",
        "lazy": "word",
        "set": ["a", "b"],
        "map": {"x": 1},
    }


def test_json_of_unknown_objects_is_refused():
    with pytest.raises(TypeError):
        rest.dump_json({"secret": object()})


def test_no_data_is_an_empty_body():
    assert rest.OrjsonRenderer().render(None) == b""


def test_page_parameters():
    assert rest.page_params({}) == (None, 50)
    assert rest.page_params({"limit": "200", "cursor": "x"}) == ("x", 200)
    assert rest.page_params({"limit": "", "cursor": ""}) == (None, 50)


@pytest.mark.parametrize("limit", ["0", "-1", "201", "ten", "1.5", "9" * 5000, "²"])
def test_page_limit_out_of_bounds_is_named(limit):
    with pytest.raises(InvalidInputError) as caught:
        rest.page_params({"limit": limit})
    assert list(caught.value.details) == ["limit"]


def test_cursor_round_trip():
    last_id = uuid7()
    assert rest.decode_cursor(rest.encode_cursor(last_id)) == last_id


@pytest.mark.parametrize(
    "cursor", ["x", "AAAA", "ü", "A" * 23, "A" * 5000, "AAAAAAAAAAAAAAAAAAAAA!"]
)
def test_foreign_cursors_are_refused(cursor):
    with pytest.raises(InvalidInputError) as caught:
        rest.decode_cursor(cursor)
    assert list(caught.value.details) == ["cursor"]


@given(st.text(max_size=40))
def test_cursor_of_any_text_is_ours_or_refused(cursor):
    with suppress(InvalidInputError):
        assert rest.encode_cursor(rest.decode_cursor(cursor)) == cursor


def test_page_shape():
    assert rest.page_body([1], None) == {"results": [1], "next": None}


@pytest.mark.django_db
def test_pages_run_newest_first_and_end():
    users = [User.objects.create(email=f"u{index}@b.example") for index in range(5)]
    newest_first = [user.pk for user in sorted(users, key=lambda user: user.pk, reverse=True)]
    seen, cursor, sizes = [], None, []
    while True:
        rows, cursor = rest.paginate(User.objects.all(), cursor=cursor, limit=2)
        seen += [user.pk for user in rows]
        sizes.append(len(rows))
        if cursor is None:
            break
    assert (seen, sizes) == (newest_first, [2, 2, 1])


@pytest.mark.django_db
def test_rows_added_meanwhile_do_not_shift_the_next_page():
    users = [User.objects.create(email=f"u{index}@b.example") for index in range(3)]
    _, cursor = rest.paginate(User.objects.all(), cursor=None, limit=2)
    User.objects.create(email="late@b.example")
    rows, last = rest.paginate(User.objects.all(), cursor=cursor, limit=2)
    assert (rows, last) == ([users[0]], None)


def test_whole_numbers_beyond_64_bits_are_written_as_the_database_holds_them() -> None:
    key = UUID(int=7)
    data = {"a": 10**20, "at": datetime(2026, 1, 2, tzinfo=UTC), "id": key, "x": Decimal("1.50")}
    assert rest.dump_json(data) == (
        b'{"a":100000000000000000000,"at":"2026-01-02T00:00:00+00:00",'
        b'"id":"00000000-0000-0000-0000-000000000007","x":"1.50"}'
    )
