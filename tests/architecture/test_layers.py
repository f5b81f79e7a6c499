"""The contracts speak of every app there is: one that is missing would be checked by nobody."""

from __future__ import annotations

from pathlib import Path

from django.apps import apps

from tests.architecture.test_model_relations import ROOT, contract, ranks

OUTSIDE = {"bench", "tests"}


def packages() -> set[str]:
    """Return the top-level packages of the checkout that are the product's."""
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    return found - OUTSIDE


def own_apps() -> set[str]:
    return {
        config.name
        for config in apps.get_app_configs()
        if Path(config.path).is_relative_to(ROOT) and ".venv" not in Path(config.path).parts
    }


def test_every_package_is_read_by_the_linter() -> None:
    assert set(contract()["root_packages"]) == packages()


def test_every_app_has_a_place_in_the_order() -> None:
    assert own_apps() - {"mailservice"} == set(ranks())


def test_every_app_keeps_the_order_of_modules() -> None:
    found = next(item for item in contract()["contracts"] if item["id"] == "modules")
    assert set(found["containers"]) == set(ranks())


def test_a_type_is_a_dependency_too() -> None:
    assert contract()["exclude_type_checking_imports"] is False
