"""Dates, numbers, money and plurals read as the language of the mail does."""

from datetime import UTC, datetime

import pytest
from babel import numbers
from hypothesis import given
from hypothesis import strategies as st

from templates_app.engine import TemplateRenderProblem, compile_source
from templates_app.engine.figures import money_style, number_style, percent_style
from templates_app.engine.locales import (
    babel_locale,
    direction,
    fallbacks,
    formatting_locale,
    own_digits,
)

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
        ("{{ 0.256 | percent: 1 }}", "de", "25,6\xa0%"),
        ("{{ 0.5 | percent }}", "fr", "50\xa0%"),
        ("{{ -0.5 | percent }}", "tr", "-%50"),
        ("{{ 0.5 | percent }}", "eu", "%\xa050"),
        ("{{ 12.345 | percent: 1 }}", "hi", "1,234.5%"),
        ("{{ 1234.5 | number }}", "ar", "1,234.5"),
        ("{{ '2026-05-04' | date: '%Y-%m-%d' }}", "fa", "2026-05-04"),
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


# Zeros: U+06F0 in Persian, U+0660 in Arabic, U+09E6 in Bengali.
@pytest.mark.parametrize(
    ("source", "locale", "text"),
    [
        ("{{ 0.075 | percent: 1 }}", "fa", "\u06f7\u066b\u06f5\u066a"),
        ("{{ 1234.5 | number: 2 }}", "fa", "\u06f1\u066c\u06f2\u06f3\u06f4\u066b\u06f5\u06f0"),
        (
            "{{ 1234.5 | money: 'EUR' }}",
            "fa-IR",
            "\u200e\u20ac\xa0\u06f1\u066c\u06f2\u06f3\u06f4\u066b\u06f5\u06f0",
        ),
        ("{{ 1234.5 | number }}", "ar-EG", "\u0661\u066c\u0662\u0663\u0664\u066b\u0665"),
        ("{{ 12345 | number }}", "bn", "\u09e7\u09e8,\u09e9\u09ea\u09eb"),
        ("{{ 12 | plural: one: '# ruz', other: '# ruz' }}", "fa", "\u06f1\u06f2 ruz"),
        (
            "{{ '2026-05-04' | date: 'long' }}",
            "fa",
            "\u06f4 \u0645\u0647\u0654 \u06f2\u06f0\u06f2\u06f6",
        ),
        (
            "{{ '2026-05-04' | date: 'short' }}",
            "ar-EG",
            "\u0664\u200f/\u0665\u200f/\u0662\u0660\u0662\u0666",
        ),
        ("{{ '2026-05-04T10:30' | time }}", "fa", "\u06f1\u06f0:\u06f3\u06f0"),
        (
            "{{ '2026-05-04T10:30' | datetime: 'short' }}",
            "fa",
            "\u06f2\u06f0\u06f2\u06f6/\u06f5/\u06f4\u060c\u200f \u06f1\u06f0:\u06f3\u06f0",
        ),
        (
            "{{ '2026-05-04' | date: '%d %B %Y' }}",
            "fa",
            "\u06f0\u06f4 \u0645\u0647\u0654 \u06f2\u06f0\u06f2\u06f6",
        ),
    ],
)
def test_numbers_and_dates_have_the_digits_of_the_language(source, locale, text):
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
    "ar-EG",
    "ps",
    "mr",
    "tr",
]
AMOUNTS = st.decimals(-(10**15), 10**15, allow_nan=False, places=4)


@given(number=AMOUNTS, tag=st.sampled_from(LOCALES), code=st.sampled_from(["EUR", "JPY", "KWD"]))
def test_money_is_written_as_babel_writes_it(number, tag, code):
    expected = numbers.format_currency(
        number, code, locale=babel_locale(tag), numbering_system="default"
    ).translate(own_digits(tag))
    assert money_style(tag, code).write(number) == expected


@given(number=AMOUNTS, tag=st.sampled_from(LOCALES), places=st.sampled_from([None, 0, 2, 3]))
def test_numbers_are_written_as_babel_writes_them(number, tag, places):
    pattern = None if places is None else "#,##0" + ("." + "0" * places if places else "")
    if places is not None and number_style(tag, places).groups != (3, 3):
        return  # babel takes the grouping from the pattern it is given
    expected = numbers.format_decimal(
        number,
        format=pattern,
        locale=babel_locale(tag),
        decimal_quantization=places is not None,
        numbering_system="default",
    ).translate(own_digits(tag))
    assert number_style(tag, places).write(number) == expected


@given(number=st.decimals(-(10**9), 10**9, allow_nan=False, places=4), tag=st.sampled_from(LOCALES))
def test_percentages_are_written_as_babel_writes_them(number, tag):
    locale = babel_locale(tag)
    sign = locale.number_symbols[locale.default_numbering_system].get("percentSign", "%")
    expected = numbers.format_percent(number, locale=locale, numbering_system="default")
    expected = expected.translate(own_digits(tag)).replace("%", sign)
    assert percent_style(tag, 0).write(number.scaleb(2)) == expected
