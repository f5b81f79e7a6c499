"""Providers are told not to track: who does, and which mail, is decided here."""

from __future__ import annotations

from urllib.parse import unquote_plus

from providers.adapters.esp.messages import TRACKING_SWITCHES
from providers.ports import Outcome
from tests.support.esp.sending import Stand, send

#: What stands in the request, without white space.
SWITCHED_OFF = {
    "mailgun": ("o:tracking-opens=no", "o:tracking-clicks=no"),
    "mailjet": ('"TrackOpens":"disabled"', '"TrackClicks":"disabled"'),
    "mandrill": ('"track_opens":false', '"track_clicks":false'),
    "postmark": ('"TrackOpens":false', '"TrackLinks":"None"'),
    "sendgrid": ('"open_tracking":{"enable":false}', '"click_tracking":{"enable":false}'),
    "sparkpost": ('"open_tracking":false', '"click_tracking":false'),
    "unisender_go": ('"track_read":0', '"track_links":0'),
}


def test_tracking_is_switched_off_where_there_is_a_switch(stand: Stand) -> None:
    api, server = stand
    assert send(stand).outcome is Outcome.ACCEPTED
    body = unquote_plus(server.requests[-1].body.decode()).replace(" ", "")
    for words in SWITCHED_OFF.get(api.kind, ()):
        assert words in body
    if api.kind not in TRACKING_SWITCHES:
        assert '"track' not in body.lower()


def test_the_table_is_whole() -> None:
    assert SWITCHED_OFF.keys() == TRACKING_SWITCHES
