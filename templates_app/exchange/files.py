"""Templates as files and back. Pure; octets stay what they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from mailservice.core.errors import InvalidInputError
from templates_app.exchange.shapes import (
    TemplateData,
    as_json,
    check_count,
    checked_together,
    raise_if_any,
    read_template,
)
from templates_app.lookup import locale_name, locale_of, require_named

if TYPE_CHECKING:
    from collections.abc import Iterable

    from templates_app.engine.plain import Fault
    from templates_app.exchange.archive import Files

MANIFEST = "template.json"
#: End of a file's name → member of a text.
_PARTS = {"html": "html", "mjml": "mjml", "txt": "text"}
_ENDS = {part: end for end, part in _PARTS.items()}
_BOM = "\ufeff"


def files_of(templates: Iterable[TemplateData]) -> Files:
    """Return the files of templates, each in a folder of its name. Raises `ConflictError`."""
    files: dict[str, bytes] = {}
    for template in templates:
        manifest = as_json(template)
        names: set[str] = set()
        for one in template.texts:
            require_named(one.locale)
            name = locale_name(one.locale)
            _require_other_name(name, names)
            texts = manifest["texts"][name]
            texts["format"] = one.format
            for part in (one.format, "text"):
                content = texts.pop(part)
                if content:
                    files[f"{template.slug}/{name}.{_ENDS[part]}"] = _octets(content)
        text = json.dumps(manifest, ensure_ascii=False, indent=2) + "\n"
        files[f"{template.slug}/{MANIFEST}"] = text.encode()
    return dict(sorted(files.items()))


def templates_in(files: Files) -> list[TemplateData]:
    """Return the templates that files make. Raises `InvalidInputError` with every fault.

    A fault is told by the file it is in, `welcome/de.html`, or the member of a `template.json`.
    """
    folders: dict[str, dict[str, bytes]] = {}
    for path, content in files.items():
        folder, _, name = path.rpartition("/")
        folders.setdefault(folder, {})[name] = content
    check_count(len(folders), "file")
    faults: list[Fault] = []
    found = [_template(folder, folders[folder], faults) for folder in sorted(folders)]
    raise_if_any(faults)
    if not found:
        raise InvalidInputError.for_field("file", "There is no template in it.", code="required")
    return checked_together(found)


def _template(folder: str, files: Mapping[str, bytes], faults: list[Fault]) -> TemplateData:
    path = f"{folder}/" if folder else ""
    if MANIFEST not in files:
        faults.append((f"{path}{MANIFEST}", "required", "A template's folder holds this file."))
        return TemplateData("")
    place = f"{path}{MANIFEST}: "
    try:
        data = _manifest(files[MANIFEST])
    except ValueError as error:
        faults.append((f"{path}{MANIFEST}", "malformed_json", str(error)))
        return TemplateData("")
    data.setdefault("slug", folder.rpartition("/")[2])
    _add_bodies(data, files, faults, path=path)
    return read_template(data, faults, path=place)


def _manifest(content: bytes) -> dict[str, Any]:
    """Return the object in a `template.json`. Raises `ValueError` with a sentence."""
    text = _text(content)
    try:
        data = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"This is not JSON: {error.msg} (line {error.lineno}, column {error.colno})."
        ) from error
    except RecursionError as error:
        raise ValueError("This is nested too deeply.") from error
    if not isinstance(data, dict):
        raise ValueError("This must be a JSON object.")  # noqa: TRY004 - told to an author
    return data


def _add_bodies(
    data: dict[str, Any], files: Mapping[str, bytes], faults: list[Fault], *, path: str
) -> None:
    """Put the contents of the files beside a `template.json` where its texts are."""
    texts = data.get("texts")
    by_locale = (
        {locale_of(str(name)).lower(): one for name, one in texts.items()}
        if isinstance(texts, Mapping)
        else {}
    )
    for name, content in files.items():
        if name == MANIFEST:
            continue
        stem, _, end = name.rpartition(".")
        part = _PARTS.get(end)
        text = by_locale.get(locale_of(stem).lower())
        if part is None or not stem:
            message = "Beside template.json stand <language>.html, .mjml and .txt only."
            faults.append((path + name, "unknown_file", message))
        elif not isinstance(text, dict):
            message = f"template.json has no text of the language '{stem}'."
            faults.append((path + name, "unknown_file", message))
        elif text.get(part):
            faults.append((path + name, "conflict", "template.json holds this text already."))
        else:
            try:
                text[part] = _text(content)
            except ValueError as error:
                faults.append((path + name, "encoding", str(error)))


def _text(content: bytes) -> str:
    """Return the text of a file, without the mark that editors put first. Raises `ValueError`."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"This is not UTF-8: octet {error.start}, line {line}.") from error
    return text.removeprefix(_BOM)


def _octets(text: str) -> bytes:
    # What reading takes away is a mark of the file; one of the text needs another before it.
    return (_BOM + text if text.startswith(_BOM) else text).encode()


def _require_other_name(name: str, names: set[str]) -> None:
    """Raise `InvalidInputError` for names that are one on a disk that knows no case."""
    if name.lower() in names:
        message = f"Two languages are called {name!r}."
        raise InvalidInputError.for_field("locale", message, code="exists")
    names.add(name.lower())


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number of JSON.")
