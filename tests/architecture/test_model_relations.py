"""A foreign key counts as an import: it points down the order of the apps, or stays inside its own.

The order is read from the contract that import-linter checks, so there is one truth.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.db.models import Model

ROOT = Path(__file__).resolve().parents[2]


def contract() -> dict[str, Any]:
    """Return the settings of import-linter."""
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return dict(linter)


def ranks() -> dict[str, int]:
    """Return the height of every app: higher ones may refer to lower ones."""
    layers = next(item["layers"] for item in contract()["contracts"] if item["id"] == "layers")
    return {
        part.strip().partition(".")[0]: height
        for height, layer in enumerate(reversed(layers))
        for part in layer.replace(":", "|").split("|")
        if "." not in part
    }


def own_models() -> list[type[Model]]:
    return [model for model in apps.get_models() if app_of(model) in ranks()]


def app_of(model: type[Model]) -> str:
    """Return the app's package; its label may differ."""
    return apps.get_app_config(model._meta.app_label).name


def relations() -> Iterator[tuple[str, str, str]]:
    """Yield every forward relation as (field, app it is in, app it points to)."""
    for model in own_models():
        for field in [*model._meta.fields, *model._meta.many_to_many]:
            target = field.related_model
            if isinstance(target, type):
                yield str(field), app_of(model), app_of(target)


def test_the_relations_of_all_our_apps_are_looked_at() -> None:
    found = {(source, target) for _, source, target in relations()}
    assert ("delivery", "providers") in found
    assert ("providers", "accounts") in found
    assert {app_of(model) for model in own_models()} >= {
        "accounts",
        "providers",
        "templates_app",
        "delivery",
    }


@pytest.mark.parametrize(
    ("field", "source", "target"), [pytest.param(*found, id=found[0]) for found in relations()]
)
def test_relations_point_down_or_stay_inside_the_app(field: str, source: str, target: str) -> None:
    height = ranks()
    is_a_framework = target not in height
    assert is_a_framework or source == target or height[target] < height[source], field
