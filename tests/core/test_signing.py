from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailservice.core.signing import parse_secret, signed_headers


def test_the_published_vector_of_standard_webhooks() -> None:
    headers = signed_headers(
        secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        message_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp_seconds=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert headers == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@given(st.binary(min_size=24, max_size=64))
def test_secrets_are_read_with_and_without_prefix(key: bytes) -> None:
    encoded = base64.b64encode(key).decode()
    assert parse_secret(encoded) == parse_secret(f"whsec_{encoded}") == key


@pytest.mark.parametrize("secret", ["", "whsec_", "short", "whsec_!!!!", "ü" * 40, "A" * 200])
def test_what_is_no_secret_is_refused_without_repeating_it(secret: str) -> None:
    with pytest.raises(ValueError, match="base64 of 24 to 64 bytes") as caught:
        parse_secret(secret)
    assert not secret or secret == "whsec_" or secret not in str(caught.value)
