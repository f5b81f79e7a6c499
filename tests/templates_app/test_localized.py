"""Dates, numbers, money and plurals read as the language of the mail does."""

from datetime import UTC, datetime

import pytest
from babel import numbers
from hypothesis import given
from hypothesis import strategies as st

from templates_app.engine import TemplateRenderProblem, compile_source
from templates_app.engine.figures import money_style, number_style
from templates_app.engine.locales import babel_locale, direction, fallbacks, formatting_locale

NOW = datetime(2026, 3, 1, 23, 30, tzinfo=UTC)


def render(source, locale, **context):
    return compile_source(source, html=True).render(context, now=NOW, locale=locale)


@pytest.mark.parametrize(
    ("source", "locale", "text"),
    [
        ("{{ 'now' | date: 'long' }}", "en", "March 1, 2026"),
        ("{{ 'now' | date: 'long' }}", "de-AT", "1. März 2026"),
        ("{{ 'now' | date: '%d. %B %Y' }}", "de", "01. März 2026"),
        ("{{ 'now' | date: '%d. %B %Y' }}", "", "01. March 2026"),
        ("{{ 'now' | date: '%A %%B %Y' }}", "fr", "dimanche %B 2026"),
        ("{{ 'now' | date: '%d.%m. %H:%M', tz: 'Europe/Berlin' }}", "de", "02.03. 00:30"),
        ("{{ 'now' | time: 'short', tz: 'Asia/Tokyo' }}", "de", "08:30"),
        ("{{ '2026-05-04T10:00:00+02:00' | datetime: 'short' }}", "de", "04.05.26, 10:00"),
        ("{{ 1234567.891 | number }}", "de", "1.234.567,891"),
        ("{{ 1234.5 | number: 2 }}", "fr", "1\u202f234,50"),
        ("{{ '1234.5' | money: 'EUR' }}", "de", "1.234,50\xa0€"),
        ("{{ 1234.5 | money: 'usd' }}", "en", "$1,234.50"),
        ("{{ 0.256 | percent }}", "en", "26%"),
        ("{{ 0.256 | percent: 1 }}", "de", "25,6%"),
        ("{{ 0.256 | percent: 1 }}", "xx-unknown", "25.6%"),
        ("{{ 1 | plural: one: '# day', other: '# days' }}", "en", "1 day"),
        ("{{ 2500 | plural: one: '# day', other: '# days' }}", "en", "2,500 days"),
        ("{{ 0 | plural: zero: 'none', other: '#' }}", "en", "none"),
        ("{{ 3 | plural: few: '# dny', other: '# dní' }}", "cs", "3 dny"),
        ("{{ 11 | plural: many: 'M', few: 'F', other: 'O' }}", "ar", "M"),
        ("{{ mail.locale }} {{ mail.language }} {{ mail.direction }}", "fa-IR", "fa-IR fa rtl"),
    ],
)
def test_values_read_as_in_the_language(source, locale, text):
    assert render(source, locale) == text


def test_a_context_may_hide_what_the_mail_knows_of_itself():
    assert render("{{ mail.locale }}", "de", mail={"locale": "x"}) == "x"
    assert compile_source("{{ mail.locale }}{{ a }}", html=True).required_paths == (("a",),)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ 1 | money: 'EURO' }}", "three letters"),
        ("{{ 'x' | number }}", "that is no number"),
        ("{{ 1 | number: 99 }}", "decimals lie between"),
        ("{{ 'now' | time: 'tiny' }}", "a style is one of"),
        ("{{ 'now' | date: 'long', tz: 'Europe/Nowhere' }}", "no time zone 'Europe/Nowhere'"),
        ("{{ 'now' | date: 'long', tz: '../../etc/passwd' }}", "no time zone"),
        ("{{ 1 | plural: one: 'x' }}", "plural needs"),
        ("{{ '1e400' | number }}", "the number is too large"),
    ],
)
def test_odd_arguments_are_told(source, words):
    with pytest.raises(TemplateRenderProblem) as caught:
        render(source, "de")
    assert words.lower() in caught.value.problem.lower()


def test_locales_fall_back_to_language_and_default():
    assert fallbacks("zh_Hant-TW") == ["zh-hant-tw", "zh-hant", "zh", ""]
    assert fallbacks("") == [""]


@pytest.mark.parametrize(
    ("text", "asked", "result"),
    [
        ("en", "en-GB", "en-GB"),
        ("en", "fr", "en"),
        ("pt-BR", "", "pt-BR"),
        ("pt", "PT_br", "PT_br"),
    ],
)
def test_dates_are_written_in_the_language_of_the_text(text, asked, result):
    assert formatting_locale(text=text, asked=asked) == result


@pytest.mark.parametrize(
    ("tag", "result"),
    [("ar", "rtl"), ("fa-IR", "rtl"), ("he", "rtl"), ("ur", "rtl"), ("az-Arab", "rtl"),
     ("en", "ltr"), ("", "ltr"), ("xx", "ltr"), ("ar-Latn", "ltr")],
)  # fmt: skip
def test_writing_direction(tag, result):
    assert direction(tag) == result


LOCALES = [
    "en",
    "de",
    "fr",
    "fa",
    "ar",
    "hi",
    "en-IN",
    "pt-BR",
    "es",
    "de-CH",
    "sv",
    "ja",
    "pl",
    "he",
]
AMOUNTS = st.decimals(-(10**15), 10**15, allow_nan=False, places=4)


@given(number=AMOUNTS, tag=st.sampled_from(LOCALES), code=st.sampled_from(["EUR", "JPY", "KWD"]))
def test_money_is_written_as_babel_writes_it(number, tag, code):
    expected = numbers.format_currency(number, code, locale=babel_locale(tag))
    assert money_style(tag, code).write(number) == expected


@given(number=AMOUNTS, tag=st.sampled_from(LOCALES), places=st.sampled_from([None, 0, 2, 3]))
def test_numbers_are_written_as_babel_writes_them(number, tag, places):
    pattern = None if places is None else "#,##0" + ("." + "0" * places if places else "")
    if places is not None and number_style(tag, places).groups != (3, 3):
        return  # babel takes the grouping from the pattern it is given
    expected = numbers.format_decimal(
        number, format=pattern, locale=babel_locale(tag), decimal_quantization=places is not None
    )
    assert number_style(tag, places).write(number) == expected
