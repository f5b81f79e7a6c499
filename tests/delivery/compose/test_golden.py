"""The mails under `golden/` come out byte for byte."""

from email import message_from_bytes, policy

import pytest

from delivery.compose import compile_content
from tests.delivery.compose.golden_cases import CASES, FOLDER


@pytest.mark.parametrize("name", CASES)
def test_mail_is_the_golden_one(name):
    source, fields = CASES[name]
    assert compile_content(source).compose(fields) == (FOLDER / f"{name}.eml").read_bytes()


def test_every_golden_file_has_a_case():
    assert {path.stem for path in FOLDER.glob("*.eml")} == set(CASES)


def test_golden_mails_read_as_meant():
    def mail(name):
        return message_from_bytes((FOLDER / f"{name}.eml").read_bytes(), policy=policy.SMTPUTF8)

    unicode_source, unicode_fields = CASES["unicode"]
    assert mail("unicode")["Subject"] == unicode_source.subject.strip(" ")
    assert mail("unicode")["To"].addresses[0].display_name == unicode_fields.to[0].name
    assert mail("alternative")["Cc"].addresses[0].display_name == 'Carol "C." Example'
    text = mail("alternative").get_body(("plain",)).get_content()
    assert text.split("\r\n") == [
        "Thank you, Ann & Bob",
        "",
        "Tea 4.50",
        "Mug 9.00",
        "",
        "[Your order](https://shop.example/o?id=17&v=1)",
        "",
    ]
    assert [part.get_filename() for part in mail("files").iter_attachments()] == [
        CASES["files"][0].attachments[1].filename
    ]
    assert mail("hidden")["To"] == "undisclosed-recipients:;"
