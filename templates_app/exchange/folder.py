"""Folders of templates on this machine, such as a checkout with everybody's templates in it."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from templates_app.exchange.archive import Room, check_path, is_litter, refusal
from templates_app.exchange.files import MANIFEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from templates_app.exchange.archive import Files

_BODY = re.compile(r"[A-Za-z][A-Za-z0-9-]*\.(html|mjml|txt)")


def read_folder(folder: Path) -> Files:
    """Return the files of one template, or of all in the folders of a folder.

    Names that begin with a dot, and folders without a `template.json`, are passed over. Links are
    refused: a checkout must not lead to the secrets of the machine. Raises `InvalidInputError`.
    """
    room = Room()
    files: dict[str, bytes] = {}
    for path in _paths(folder):
        name = path.relative_to(folder).as_posix()
        check_path(name)
        if path.is_symlink() or not path.is_file():
            raise refusal(name, "invalid", "Only plain files are read, no links.")
        room.take(name, path.lstat().st_size)
        files[name] = path.read_bytes()
    return files


def write_folder(folder: Path, files: Files) -> list[str]:
    """Write the files; return the bodies removed since no language has them any more.

    Each file is replaced as a whole, so that a kill leaves no half of one. Raises `OSError`.
    """
    removed = []
    for path in sorted({folder / name.rpartition("/")[0] for name in files}):
        path.mkdir(parents=True, exist_ok=True)
        for old in sorted(path.iterdir()):
            name = old.relative_to(folder).as_posix()
            if name not in files and _BODY.fullmatch(old.name):
                old.unlink()
                removed.append(name)
    for name, content in files.items():
        target = folder / name
        beside = target.with_name(f".{target.name}.new")
        beside.write_bytes(content)
        os.replace(beside, target)  # noqa: PTH105 - says that it is one step
    return removed


def _paths(folder: Path) -> Iterator[Path]:
    if (folder / MANIFEST).exists():
        yield from _own_files(folder)
        return
    for inner in sorted(folder.iterdir()):
        if not inner.is_symlink() and (inner / MANIFEST).exists():
            yield from _own_files(inner)


def _own_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if not path.name.startswith(".") and not is_litter(path.name):
            yield path
