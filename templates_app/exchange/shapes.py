"""A template as plain data, and as JSON. Pure.

As JSON: `{"slug": "welcome", "kind": "mail", "title": "", "description": "", "category": "",
"language": "en", "sample": {}, "schema": {}, "texts": {"default": {"subject": "…", "preheader": "",
"html": "…", "text": "…"}, "de": {"subject": "…", "mjml": "…"}}}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

from mailservice.core.errors import InvalidInputError
from templates_app.engine import did_you_mean
from templates_app.engine.plain import Fault, object_fault, text_fault
from templates_app.lookup import locale_name, locale_of
from templates_app.models import Format, Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Of one import.
MAX_TEMPLATES = 200
MAX_TEXTS = 1_000
#: Of one template.
MAX_LANGUAGES = 200
_MAX_FAULTS = 100
_MAX_NAME_CHARS = 64

#: The mark and version of this form.
MARK, VERSION = "mailservice_template", 1
TEXT_FIELDS = ("slug", "kind", "title", "description", "category", "language")
OBJECT_FIELDS = ("sample", "schema")
FIELDS = (MARK, *TEXT_FIELDS, *OBJECT_FIELDS, "texts")
PARTS = ("subject", "preheader", "html", "mjml", "text", "format")


@dataclass(frozen=True, slots=True)
class TextData:
    """What an author wrote in one language."""

    #: Empty for the default.
    locale: str
    subject: str = ""
    preheader: str = ""
    html: str = ""
    text: str = ""
    format: str = Format.HTML.value


@dataclass(frozen=True, slots=True)
class TemplateData:
    """A template with one version of its texts."""

    slug: str
    kind: str = Kind.MAIL.value
    title: str = ""
    description: str = ""
    category: str = ""
    language: str = ""
    sample: dict[str, Any] = field(default_factory=dict)
    schema: dict[str, Any] = field(default_factory=dict)
    texts: tuple[TextData, ...] = ()

    def fields(self) -> dict[str, Any]:
        """Return all but the texts."""
        return {name: getattr(self, name) for name in (*TEXT_FIELDS, *OBJECT_FIELDS)}


def as_json(template: TemplateData) -> dict[str, Any]:
    """Return the JSON object that `read_template` reads."""
    texts = {}
    for one in template.texts:
        texts[locale_name(one.locale)] = {
            "subject": one.subject,
            "preheader": one.preheader,
            one.format: one.html,
            "text": one.text,
        }
    return {MARK: VERSION, **template.fields(), "texts": texts}


def templates_from(data: object) -> list[TemplateData]:
    """Return the templates of `{"templates": […]}`, or the one that the object is.

    Raises `InvalidInputError` with every fault.
    """
    faults: list[Fault] = []
    if isinstance(data, Mapping) and "templates" in data:
        faults += unknown_names("", data, ("templates",))
        given = data["templates"]
        if not isinstance(given, list) or not given:
            faults.append(("templates", "invalid_type", "This must be a list of templates."))
            given = []
        objects = [(f"templates[{place}].", one) for place, one in enumerate(given)]
    else:
        objects = [("", data)]
    check_count(len(objects), "templates")
    found = [read_template(one, faults, path=path) for path, one in objects]
    raise_if_any(faults)
    return checked_together(found)


def checked_together(found: list[TemplateData]) -> list[TemplateData]:
    """Return the templates. Raises `InvalidInputError` if they do not go together."""
    slugs: set[str] = set()
    faults: list[Fault] = []
    for one in found:
        if one.slug in slugs:
            faults.append((one.slug or "slug", "exists", "Two templates have this name."))
        slugs.add(one.slug)
    raise_if_any(faults)
    if sum(len(one.texts) for one in found) > MAX_TEXTS:
        raise InvalidInputError.for_field("texts", f"At most {MAX_TEXTS:,} texts at once.")
    return found


def check_count(count: int, name: str) -> None:
    """Raise `InvalidInputError` for more templates than one import takes."""
    if count > MAX_TEMPLATES:
        message = f"At most {MAX_TEMPLATES} templates at once."
        raise InvalidInputError.for_field(name, message, code="too_many")


def raise_if_any(faults: list[Fault]) -> None:
    """Raise `InvalidInputError` with what was found."""
    if faults:
        raise InvalidInputError.for_fields(faults[:_MAX_FAULTS])


def read_template(data: object, faults: list[Fault], *, path: str = "") -> TemplateData:
    """Return what is sound of a template's JSON object; the rest goes to `faults`."""
    if not isinstance(data, Mapping):
        faults.append((path.rstrip("."), "invalid_type", "This must be an object."))
        return TemplateData("")
    faults += unknown_names(path, data, FIELDS)
    _check_mark(data, path, faults)
    values: dict[str, Any] = {}
    for name in (*TEXT_FIELDS, *OBJECT_FIELDS):
        if data.get(name) is None:
            continue
        check = text_fault if name in TEXT_FIELDS else object_fault
        if fault := check(path + name, data[name]):
            faults.append(fault)
        else:
            values[name] = data[name].strip() if name in TEXT_FIELDS else data[name]
    if not values.get("slug") and not any(fault[0] == f"{path}slug" for fault in faults):
        faults.append((f"{path}slug", "required", "A template needs a name."))
    return TemplateData(**{"slug": "", **values}, texts=read_texts(data, faults, path))


def read_text(data: object, faults: list[Fault], *, locale: str, path: str = "") -> TextData:
    """Return what is sound of one language's JSON object; the rest goes to `faults`."""
    if not isinstance(data, Mapping):
        faults.append((path.rstrip("."), "invalid_type", "This must be an object."))
        return TextData(locale)
    faults += unknown_names(path, data, PARTS)
    given: dict[str, str] = {}
    for name in PARTS:
        value = data.get(name)
        if value is None:
            continue
        if fault := text_fault(path + name, value):
            faults.append(fault)
        else:
            given[name] = value
    format_ = _format_of(given, faults, path)
    return TextData(
        locale,
        subject=given.get("subject", ""),
        preheader=given.get("preheader", ""),
        html=given.get(format_, ""),
        text=given.get("text", ""),
        format=format_,
    )


def unknown_names(path: str, data: Iterable[object], known: tuple[str, ...]) -> list[Fault]:
    """Return a fault for each name that does not exist, but for no more than an answer holds."""
    shown = [name for name in known if name != MARK]
    there_are = f"There are {', '.join(shown) or 'none'}."
    unknown = (str(name) for name in data if name not in known)
    return [
        (
            f"{path}{name[:_MAX_NAME_CHARS]}",
            "unknown_field",
            f"There is no such field{did_you_mean(name, shown) or '.'} {there_are}",
        )
        for name in islice(unknown, _MAX_FAULTS)
    ]


def _check_mark(data: Mapping[str, object], path: str, faults: list[Fault]) -> None:
    if data.get(MARK, VERSION) != VERSION:
        message = f"This service reads version {VERSION} of the form."
        faults.append((path + MARK, "unsupported", message))


def read_texts(data: Mapping[str, object], faults: list[Fault], path: str) -> tuple[TextData, ...]:
    """Return the texts of a template's JSON object, by locale; the rest goes to `faults`."""
    given = data.get("texts")
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        faults.append((f"{path}texts", "invalid_type", "This must be an object by language."))
        return ()
    if len(given) > MAX_LANGUAGES:
        faults.append((f"{path}texts", "too_many", f"At most {MAX_LANGUAGES} languages."))
        return ()
    texts: dict[str, TextData] = {}
    for name, one in given.items():
        place = f"{path}texts.{str(name)[:_MAX_NAME_CHARS]}"
        locale = locale_of(str(name))
        if locale.lower() in texts:
            faults.append((place, "exists", "Two texts have this language."))
        texts[locale.lower()] = read_text(one, faults, locale=locale, path=f"{place}.")
    return tuple(sorted(texts.values(), key=lambda one: one.locale))


def _format_of(given: Mapping[str, str], faults: list[Fault], path: str) -> str:
    """Return `html` or `mjml`: as said, or by which of both there is."""
    if given.get("html") and given.get("mjml"):
        faults.append((f"{path}mjml", "conflict", "Give `html` or `mjml`, not both."))
        return Format.HTML.value
    shown = "mjml" if "mjml" in given and not given.get("html") else "html"
    asked = given.get("format") or shown
    if asked not in Format.values:
        faults.append((f"{path}format", "invalid", f"Use one of {', '.join(Format.values)}."))
        return shown
    other = next(value for value in Format.values if value != asked)
    if given.get(other):
        faults.append((f"{path}format", "conflict", f"The text is given as `{other}`."))
    return asked
