"""No credential shows anywhere but in the one column that holds it encrypted.

Every kind of account gets credentials that are easily recognised; its provider is hostile and
echoes whatever it is told.
"""

from __future__ import annotations

import functools
import io
import json
import logging
import traceback
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse

from accounts.models import User
from accounts.services import NewApiKey
from alerts.models import Alert
from delivery.models import Attempt
from delivery.queue.journal import WireJournal
from delivery.states import Lane
from delivery.tasks import drain as drain_task
from mailservice.core.errors import InvalidInputError
from mailservice.core.secrets import decrypt
from providers.adapters import SettingsError, adapter_for
from providers.adapters.esp import KINDS
from providers.models import Provider, ProviderHealth, ProviderKind
from providers.ports import ConnectError, Outcome
from providers.selectors import account_config
from providers.services import create_provider, update_provider
from tests.support.api import Api
from tests.support.esp.accounts import APIS, mail_of, some_parts
from tests.support.esp.server import Answer, ApiServer, Request
from tests.support.mail import drain, queue
from tests.support.smtp_server import FaultyServer, Say
from tests.support.traces import everything_stored, found_in

pytestmark = pytest.mark.django_db


def marker(kind: str, name: str) -> str:
    """Return a credential that occurs nowhere else and that some encodings change."""
    ending = 'ü "<&' if kind == ProviderKind.SMTP else "+/=~&"
    return f"mark-{kind}-{name}-{ending}Zq97Kp"


def secrets_of(kind: str) -> dict[str, str]:
    if kind == ProviderKind.SMTP:
        return {"password": marker(kind, "password")}
    esp = KINDS.get(kind)
    return {one.name: marker(kind, one.name) for one in esp.secrets} if esp else {}


MARKERS = [value for kind in ProviderKind.values for value in secrets_of(kind).values()]


def echo(request: Request) -> Answer:
    """Refuse, and say everything that was heard."""
    heard = {"message": f"{request.headers} {request.body.decode()}", "code": "401"}
    return Answer(401, heard, {"X-Echo": request.headers.get("authorization", "-")})


def echoing_server(cue: str, code: int) -> FaultyServer:
    """Return an SMTP server that at `cue` refuses with what it was told at the login."""
    password = MARKERS[0]
    plain = b64encode(f"\0mailer\0{password}".encode()).decode()
    lines = [password, plain, b64encode(password.encode()).decode(), "no"]
    reply = "".join(f"{code}{' -'[line != 'no']}5.7.8 {line}\r\n" for line in lines)
    return FaultyServer(({cue: Say(reply.encode())},), extensions=("AUTH PLAIN",))


ADMIN = "admin:providers_provider"
FORM = {
    "security": "none",
    "time_zone": "UTC",
    "warm_up": "",
    "position": "1",
    "latency_ms": "0",
    "max_connections": "1",
    "max_messages_per_connection": "0",
    "priority_reserve": "5",
    "price_per_thousand": "0",
    "free_per_month": "0",
    "monthly_fee": "0",
}


@dataclass
class Stage:
    """Accounts of every kind at hostile providers, and all that was said while they were used."""

    accounts: dict[str, Provider]
    smtp_port: int
    api_port: int
    told: dict[str, str] = field(default_factory=dict)
    log: io.StringIO = field(default_factory=io.StringIO)

    def tell(self, place: str, text: object) -> None:
        self.told[f"{place} #{len(self.told)}"] = str(text)

    def assert_nothing_shows(self) -> None:
        """Assert that no secret is in what was told and logged, nor anywhere it was stored."""
        self.told["log"] = self.log.getvalue()
        self.told |= everything_stored()
        assert found_in(self.told, MARKERS) == []


def settings_for(kind: str, *, smtp_port: int, api_port: int) -> dict[str, Any]:
    if kind == ProviderKind.SMTP:
        return {"host": "127.0.0.1", "port": smtp_port, "username": "mailer"}
    if kind not in APIS:
        return {}
    api = APIS[kind]()
    return {**api.settings, "api_url": f"http://127.0.0.1:{api_port}{api.base}"}


@pytest.fixture
def stage(db: None) -> Iterator[Stage]:
    with echoing_server("AUTH", 535) as smtp, ApiServer(echo) as api:
        ports = {"smtp_port": smtp.port, "api_port": api.port}
        accounts = {
            kind: create_provider(
                owner_id=None,
                name=f"{kind} account",
                kind=kind,
                settings=settings_for(kind, **ports),
                secrets=secrets_of(kind),
                from_email="shop@example.com",
            )
            for kind in ProviderKind.values
        }
        made = Stage(accounts, smtp.port, api.port)
        with all_logged_to(made.log):
            yield made


class all_logged_to:  # noqa: N801 - used like a function
    """Let every logger there is say everything it can, into a stream."""

    def __init__(self, stream: io.StringIO) -> None:
        self.handler = logging.StreamHandler(stream)
        self.handler.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def __enter__(self) -> None:
        # At DEBUG this one writes a traceback, without values, for each empty variable of a page.
        names = logging.root.manager.loggerDict.keys() - {"django.template"}
        loggers = [logging.root, *(logging.getLogger(name) for name in names)]
        self.levels = [(logger, logger.level) for logger in loggers]
        self.levels.append((logging.getLogger("django.template"), logging.NOTSET))
        for logger in loggers:
            logger.setLevel(logging.DEBUG)
        logging.getLogger("django.template").setLevel(logging.INFO)
        logging.root.addHandler(self.handler)

    def __exit__(self, *_: object) -> None:
        logging.root.removeHandler(self.handler)
        for logger, level in self.levels:
            logger.setLevel(level)


def test_the_column_holds_what_decrypts_to_them_and_nothing_else_does(stage: Stage) -> None:
    for kind, account in stage.accounts.items():
        with connection.cursor() as cursor:
            cursor.execute("SELECT secrets FROM providers_provider WHERE id = %s", [account.pk])
            token = cursor.fetchone()[0]
        assert (decrypt(token) if token else {}) == secrets_of(kind)
    stage.assert_nothing_shows()


def test_nothing_shows_in_the_admin(stage: Stage, capfd: pytest.CaptureFixture[str]) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(User.objects.create_superuser("root@example.com", "a long password"))
    stage.tell("list", client.get("/admin/providers/provider/").content.decode())
    for kind, account in stage.accounts.items():
        page = functools.partial(reverse, args=[account.pk])
        change, test = page(f"{ADMIN}_change"), page(f"{ADMIN}_test")
        stage.tell("form", client.get(change).content.decode())
        stage.tell("tried", client.post(test).content.decode())
        # Refused and taken: what was typed does not come back either way.
        typed = {**FORM, **secrets_of(kind), **account.settings, "name": f"renamed {kind}"}
        adding = f"/admin/providers/provider/add/?kind={kind}"
        stage.tell("refused", client.post(adding, typed | {"position": "x"}).content.decode())
        client.post(change, typed)
        if kind in {"smtp", "amazon_ses"}:
            refused = client.post(change, typed | {"position": "x"})
            stage.tell("refused", refused.content.decode())
            for name in ("history", "delete", "test"):
                stage.tell(name, client.get(page(f"{ADMIN}_{name}")).content.decode())
    stage.tell("all messages", client.get("/admin/providers/provider/").content.decode())
    out, err = capfd.readouterr()
    stage.tell("output", out + err)
    assert Provider.objects.filter(name__startswith="renamed ").count() == len(stage.accounts)
    stage.assert_nothing_shows()


@pytest.mark.usefixtures("private_networks")
def test_nothing_shows_in_the_api(stage: Stage, api_key: NewApiKey, user: User) -> None:
    api = Api(api_key.secret)
    smtp = {
        "name": "mine",
        "email_address": "shop@example.com",
        "smtp_host": "127.0.0.1",
        "smtp_port": stage.smtp_port,
        "username": "mailer",
        "password": MARKERS[0],
        "use_tls": False,
        "use_ssl": False,
    }
    made = api.post("/smtp-configs", smtp, key="once")
    assert made.status_code == 201, made.content
    stage.tell("made", made.content.decode())
    config = f"/smtp-configs/{made.json()['id']}"
    answers = [
        api.post("/smtp-configs", smtp, key="once"),
        api.post("/smtp-configs", smtp | {"smtp_port": 0, "name": MARKERS[0][:0]}),
        api.get("/smtp-configs"),
        api.get(config),
        api.put(config, smtp),
        api.patch(config, {"password": MARKERS[0], "smtp_port": "x"}),
        api.post(f"{config}/test"),
        api.get("/providers"),
        api.get("/providers/kinds"),
    ]
    for kind in APIS:
        account = {
            "name": f"my {kind}",
            "kind": kind,
            "settings": stage.accounts[kind].settings,
            "secrets": secrets_of(kind),
        }
        mine = api.post("/providers", account, key=kind)
        assert mine.status_code == 201, mine.content
        path = f"/providers/{mine.json()['id']}"
        answers += [
            mine,
            api.post("/providers", account | {"secrets": {"of_nobody": MARKERS[0]}}),
            api.get(path),
            api.get(f"/providers/{stage.accounts[kind].pk}"),
            api.put(path, account),
            api.patch(path, {"secrets": secrets_of(kind)}),
            api.patch(path, {"secrets": secrets_of(kind), "position": "x"}),
            api.patch(path, {"secrets": [MARKERS[0]]}),
            api.post(f"{path}/test"),
        ]
    for answer in answers:
        assert answer.status_code < 500
        stage.tell(str(answer.request["PATH_INFO"]), answer.content.decode())
        stage.tell("headers", answer.headers)
    stage.assert_nothing_shows()


def test_nothing_shows_in_what_is_written_of_a_try(stage: Stage, user: User) -> None:
    for account in stage.accounts.values():
        queue(user, email_type="marketing", provider_id=str(account.pk))
    drain(Lane.BULK)
    refused = Attempt.objects.exclude(outcome="accepted").filter(provider__kind__in=MARKED_KINDS)
    assert refused.count() == len(MARKED_KINDS)
    stage.assert_nothing_shows()


MARKED_KINDS = [kind for kind in ProviderKind.values if secrets_of(kind)]


@pytest.mark.parametrize("cue", ["MAIL", "RCPT", "DATA", "END"])
@pytest.mark.parametrize("code", [450, 550])
def test_nothing_shows_of_a_server_that_repeats_the_login_later(cue: str, code: int) -> None:
    with echoing_server(cue, code) as server:
        settings = settings_for("smtp", smtp_port=server.port, api_port=0)
        account = Provider(kind="smtp", settings=settings, secrets=secrets_of("smtp"))
        session = adapter_for(account_config(account)).open()
        result = session.send(mail_of(some_parts(), "b@b.example", "c@c.example"))
        session.close()
    assert result.outcome is not Outcome.ACCEPTED
    assert "***" in result.reply.text
    assert found_in({"result": repr(result)}, MARKERS) == []


def test_nothing_shows_in_texts_of_objects(stage: Stage) -> None:
    for account in stage.accounts.values():
        config = account_config(account)
        adapter = adapter_for(config)
        things: list[Any] = [account, config, adapter]
        try:
            things.append(session := adapter.open())
        except ConnectError as error:
            stage.tell("refused", "".join(traceback.format_exception(error)))
            things += [error, error.result, vars(error)]
        else:
            result = session.send(mail_of(some_parts()))
            session.close()
            things.append(result)
        for thing in things:
            stage.tell(f"{account.kind} {type(thing).__name__}", f"{thing} {thing!r} {thing!a}")
        for thing in (adapter, *things[3:]):
            stage.tell(f"{account.kind} vars", repr(getattr(thing, "__dict__", "")))
    stage.assert_nothing_shows()


def test_nothing_shows_in_what_is_said_of_wrong_settings(stage: Stage) -> None:
    for kind in MARKED_KINDS:
        account = stage.accounts[kind]
        wrong: list[dict[str, Any]] = [
            {"settings": {**account.settings, "no_such": 1}},
            {"secrets": {"no_such": MARKERS[0]}},
            {"secrets": {name: f"{value}\0{value}\n" for name, value in secrets_of(kind).items()}},
        ]
        for changes in wrong:
            with pytest.raises(InvalidInputError) as refused:
                update_provider(account.pk, **changes)
            stage.tell("refused", "".join(traceback.format_exception(refused.value)))
            stage.tell("refused", vars(refused.value))
            given = {"settings": account.settings, "secrets": secrets_of(kind)} | changes
            config = account_config(Provider(pk=account.pk, kind=kind, **given))
            with pytest.raises(SettingsError) as caught:
                adapter_for(config)
            stage.tell("invalid", "".join(traceback.format_exception(caught.value)))
    stage.assert_nothing_shows()


@pytest.mark.django_db(transaction=True)
def test_nothing_shows_in_a_tasks_failure(stage: Stage, user: User, settings: Any) -> None:
    queue(user, email_type="marketing", provider_id=str(stage.accounts["smtp"].pk))
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), "not a key"]
    failed = drain_task.apply(args=[int(Lane.BULK)])
    assert isinstance(failed.result, Exception)
    stage.tell("task", f"{failed.result!r} {failed.traceback}")
    stage.assert_nothing_shows()


@pytest.mark.django_db(transaction=True)
def test_nothing_shows_where_no_key_reads_the_credentials(
    stage: Stage, user: User, settings: Any
) -> None:
    queue(user, email_type="marketing", provider_id=str(stage.accounts["smtp"].pk))
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    assert drain_task.apply(args=[int(Lane.BULK)]).successful()
    stage.tell("breaker", ProviderHealth.objects.get().detail)
    stage.tell("alert", Alert.objects.get().detail)
    stage.assert_nothing_shows()


def test_nothing_shows_in_the_wire_journal(stage: Stage, tmp_path: Path) -> None:
    journal = WireJournal(tmp_path, lease_id=uuid4(), capacity=len(stage.accounts))
    for account in stage.accounts.values():
        entry = journal.hold(uuid4(), provider_id=account.pk, decision_id=uuid4(), number=1)
        entry.begin()
        try:
            session = adapter_for(account_config(account)).open()
        except ConnectError as error:
            entry.end(error.result, 1)
        else:
            entry.end(session.send(mail_of(some_parts())), 1)
            session.close()
    journal.pages.flush()
    for path in tmp_path.iterdir():
        stage.tell(path.name, path.read_bytes().decode("latin-1"))
    stage.assert_nothing_shows()


@pytest.mark.parametrize("layout", ["json", "xml", "jsonl"])
def test_a_dump_of_the_data_holds_them_encrypted(
    stage: Stage, layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"dump.{layout}"
    call_command("dumpdata", "providers.provider", format=layout, output=str(path))
    stage.tell("dump", path.read_text())
    stage.assert_nothing_shows()
    Provider.objects.all().delete()
    call_command("loaddata", str(path))
    restored = {one.kind: one.secrets or {} for one in Provider.objects.all()}
    assert restored == {kind: secrets_of(kind) for kind in ProviderKind.values}
    out, err = capsys.readouterr()
    assert found_in({"output": out + err}, MARKERS) == []


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_nothing_shows_in_the_output_of_the_rotation(
    stage: Stage, arguments: tuple[str, ...], settings: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    settings.ENCRYPTION_KEYS = [Fernet.generate_key().decode(), *settings.ENCRYPTION_KEYS]
    call_command("rotate_encryption_keys", *arguments)
    out, err = capfd.readouterr()
    stage.tell("output", out + err)
    stage.assert_nothing_shows()
    keys = settings.ENCRYPTION_KEYS
    assert not [key for key in keys if key in out + err + stage.log.getvalue()]


def test_the_search_finds_every_form_it_looks_for() -> None:
    secret = MARKERS[0]
    for shift in range(5):
        token = b64encode(b"user:"[:shift] + secret.encode() + b"!" * shift).decode()
        assert found_in({"x": f"Basic {token}"}, [secret])
    assert found_in({"x": json.dumps({"a": secret})}, [secret])
    assert found_in({"x": "all is well"}, [secret]) == []
