"""Which header carries a key."""

from __future__ import annotations

import pytest
from django.test import RequestFactory

from accounts.api.authentication import presented_key


@pytest.mark.parametrize(
    ("headers", "key"),
    [
        ({}, None),
        ({"Authorization": "Bearer abc"}, "abc"),
        ({"Authorization": "TOKEN  abc "}, "abc"),
        ({"Authorization": "Bearer"}, ""),
        ({"Authorization": "Basic abc"}, None),
        ({"Authorization": "abc"}, None),
        ({"X-API-Key": " abc "}, "abc"),
        ({"X-API-Key": ""}, ""),
        ({"Authorization": "Basic abc", "X-API-Key": "def"}, "def"),
        ({"Authorization": "Bearer abc", "X-API-Key": "def"}, "abc"),
    ],
)
def test_a_key_is_read_from_the_headers_that_carry_one(headers, key):
    assert presented_key(RequestFactory().get("/", headers=headers)) == key
