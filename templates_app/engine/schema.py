"""The context a template asks for, as JSON Schema: a checked subset of it, or inferred.

The subset is what says something about one value and costs nothing to check: no references, no
combinations, and no patterns, which an author could make run for hours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from templates_app.engine.hints import did_you_mean
from templates_app.engine.needs import EACH

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from templates_app.engine.compiled import Compiled

#: (path such as `context.order.total`, code, message)
Fault = tuple[str, str, str]

MAX_FAULTS = 20
_MAX_DEPTH = 10
_MAX_NODES = 1000
_MAX_ENUM = 500

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_URI = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:[^\s]+")

_TYPES: dict[str, Callable[[object], bool]] = {
    "string": lambda value: isinstance(value, str),
    "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool))
        or (isinstance(value, float) and value.is_integer())
    ),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, Mapping),
}


def _is_date(value: str) -> bool:
    try:
        date.fromisoformat(value)
    except ValueError:
        return False
    return True


def _is_moment(value: str) -> bool:
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


_FORMATS: dict[str, Callable[[str], bool]] = {
    "date": _is_date,
    "date-time": _is_moment,
    "email": lambda value: bool(_EMAIL.fullmatch(value)),
    "uri": lambda value: bool(_URI.fullmatch(value)),
}
_REMARKS = frozenset(("$schema", "$id", "title", "description", "default", "examples", "$comment"))
_SHAPES: dict[str, Callable[[object], bool]] = {
    "type": lambda value: (
        value in _TYPES
        if isinstance(value, str)
        else isinstance(value, list) and all(isinstance(v, str) and v in _TYPES for v in value)
    ),
    "format": lambda value: isinstance(value, str) and value in _FORMATS,
    "properties": lambda value: isinstance(value, Mapping),
    "required": lambda value: isinstance(value, list) and all(isinstance(v, str) for v in value),
    "additionalProperties": lambda value: isinstance(value, bool),
    "items": lambda value: isinstance(value, Mapping),
    "enum": lambda value: isinstance(value, list) and 0 < len(value) <= _MAX_ENUM,
    "const": lambda value: isinstance(value, (str, int, float, bool, type(None))),
    **{
        name: lambda value: isinstance(value, int) and not isinstance(value, bool) and value >= 0
        for name in ("minLength", "maxLength", "minItems", "maxItems")
    },
    **{
        name: lambda value: isinstance(value, (int, float)) and not isinstance(value, bool)
        for name in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
    },
}


def schema_faults(schema: object) -> list[Fault]:
    """Return what is wrong with a schema; an empty one asks for nothing."""
    faults: list[Fault] = []
    if schema == {}:
        return faults
    count = 0
    pending: list[tuple[str, object, int]] = [("schema", schema, 0)]
    while pending and len(faults) < MAX_FAULTS:
        path, one, depth = pending.pop()
        count += 1
        if not isinstance(one, Mapping):
            faults.append((path, "invalid", "A schema is an object."))
        elif count > _MAX_NODES or depth > _MAX_DEPTH:
            faults.append((path, "too_large", "The schema is too large or too deep."))
            break
        else:
            faults += _keyword_faults(path, one)
            pending += _parts_of(path, one, depth + 1)
    return faults


def context_faults(
    schema: Mapping[str, Any],
    context: Mapping[str, object],
    *,
    given: Collection[str] = (),
    hidden: Collection[str] = (),
) -> list[Fault]:
    """Return where a context breaks a sound schema, at most `MAX_FAULTS`.

    Names that are `given` come from the service, not from who fills the template: the schema need
    not know them, whatever it says of further names. The values of `hidden` ones cannot be read
    yet, so nothing is asked of them.
    """
    faults: list[Fault] = []
    if given or hidden:
        schema, context = _without(schema, context, given, hidden)
    for fault in _value_faults("context", schema, context):
        faults.append(fault)
        if len(faults) >= MAX_FAULTS:
            break
    return faults


def _without(
    schema: Mapping[str, Any],
    context: Mapping[str, object],
    given: Collection[str],
    hidden: Collection[str],
) -> tuple[Mapping[str, Any], Mapping[str, object]]:
    """Take from a schema and a context the names that are not to be compared."""
    properties = schema.get("properties", {})
    required = schema.get("required", ())
    known = {*properties, *required} - set(hidden)
    absent = set(hidden) & context.keys()
    narrowed = {
        **schema,
        "properties": {name: one for name, one in properties.items() if name not in absent},
        "required": [name for name in required if name not in absent],
    }
    skipped = (set(given) - known) | absent
    return narrowed, {name: value for name, value in context.items() if name not in skipped}


def inferred_schema(templates: Iterable[Compiled]) -> dict[str, Any]:
    """Return the schema that says what templates read: objects, lists, and names in them.

    All of them are listed; required are those a template cannot do without. Their types are not
    known.
    """
    root: dict[str, Any] = {"type": "object"}
    for template in templates:
        for path in template.required_paths:
            node = root
            for name in path:
                node = _child(node, name)
    return root


def _child(node: dict[str, Any], name: str) -> dict[str, Any]:
    if name == EACH:
        node["type"] = "array"
        items: dict[str, Any] = node.setdefault("items", {})
        return items
    if node.get("type") == "array":  # `items.size` and the like
        return {}
    node["type"] = "object"
    properties: dict[str, Any] = node.setdefault("properties", {})
    required: list[str] = node.setdefault("required", [])
    if name not in properties:
        required.append(name)
    child: dict[str, Any] = properties.setdefault(name, {})
    return child


def _keyword_faults(path: str, schema: Mapping[str, object]) -> list[Fault]:
    faults = []
    for name, value in schema.items():
        if name in _REMARKS:
            continue
        is_right = _SHAPES.get(name)
        if is_right is None:
            message = _sentence("This keyword is not supported", str(name), _SHAPES)
            faults.append((f"{path}.{name}", "unknown", message))
        elif not is_right(value):
            known = f"; known are {', '.join(_FORMATS)}" if name == "format" else ""
            faults.append((f"{path}.{name}", "invalid", f"This is no value of '{name}'{known}."))
    return faults


def _parts_of(path: str, schema: Mapping[str, Any], depth: int) -> list[tuple[str, object, int]]:
    parts: list[tuple[str, object, int]] = []
    properties = schema.get("properties")
    if isinstance(properties, Mapping):
        parts += [(f"{path}.properties.{name}", one, depth) for name, one in properties.items()]
    if "items" in schema:
        parts.append((f"{path}.items", schema["items"], depth))
    return parts


def _value_faults(path: str, schema: Mapping[str, Any], value: object) -> Iterator[Fault]:
    """Yield the faults of a value and what is in it."""
    wanted = schema.get("type")
    types = [wanted] if isinstance(wanted, str) else wanted or []
    if types and not any(_TYPES[name](value) for name in types):
        yield path, "type", f"This must be {' or '.join(types)}."
        return
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        shown = ", ".join(repr(one) for one in schema["enum"][:10])
        yield path, "enum", f"This must be one of {shown}."
    if "const" in schema and not _same(value, schema["const"]):
        yield path, "const", f"This must be {schema['const']!r}."
    if isinstance(value, str):
        yield from _text_faults(path, schema, value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from _number_faults(path, schema, value)
    elif isinstance(value, list):
        yield from _list_faults(path, schema, value)
    elif isinstance(value, Mapping):
        yield from _object_faults(path, schema, value)


def _same(value: object, other: object) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _text_faults(path: str, schema: Mapping[str, Any], value: str) -> Iterator[Fault]:
    if len(value) < schema.get("minLength", 0):
        yield path, "too_short", f"At least {schema['minLength']} characters."
    if len(value) > schema.get("maxLength", len(value)):
        yield path, "too_long", f"At most {schema['maxLength']} characters."
    if "format" in schema and not _FORMATS[schema["format"]](value):
        yield path, "format", f"This is no {schema['format']}."


def _number_faults(path: str, schema: Mapping[str, Any], value: float) -> Iterator[Fault]:
    if value < schema.get("minimum", value):
        yield path, "too_small", f"At least {schema['minimum']}."
    if value > schema.get("maximum", value):
        yield path, "too_large", f"At most {schema['maximum']}."
    if "exclusiveMinimum" in schema and value <= schema["exclusiveMinimum"]:
        yield path, "too_small", f"More than {schema['exclusiveMinimum']}."
    if "exclusiveMaximum" in schema and value >= schema["exclusiveMaximum"]:
        yield path, "too_large", f"Less than {schema['exclusiveMaximum']}."


def _list_faults(path: str, schema: Mapping[str, Any], value: list[object]) -> Iterator[Fault]:
    if len(value) < schema.get("minItems", 0):
        yield path, "too_few", f"At least {schema['minItems']} items."
    if len(value) > schema.get("maxItems", len(value)):
        yield path, "too_many", f"At most {schema['maxItems']} items."
    if "items" in schema:
        for number, item in enumerate(value):
            yield from _value_faults(f"{path}[{number}]", schema["items"], item)


def _object_faults(
    path: str, schema: Mapping[str, Any], value: Mapping[str, object]
) -> Iterator[Fault]:
    properties = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{path}.{name}", "required", _sentence("This is missing", name, value)
    for name, item in value.items():
        if name in properties:
            yield from _value_faults(f"{path}.{name}", properties[name], item)
        elif schema.get("additionalProperties") is False:
            message = _sentence("The template knows no such name", name, properties)
            yield f"{path}.{name}", "unknown", message


def _sentence(words: str, name: str, known: Mapping[str, object]) -> str:
    """End a sentence with what was probably meant, or with a full stop."""
    return words + (did_you_mean(name, known) or ".")
