"""Readable logs: every line of a child is prefixed by the child's name.

The lines are copied by a process of its own, so that children can finish their work and say so even
when the launcher is killed.
"""

from __future__ import annotations

import os
import selectors
import signal
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_COLOURS = (36, 32, 33, 35, 34)  # ANSI: cyan, green, yellow, magenta, blue
_READ_BYTES = 65536


def say(text: str = "") -> None:
    """Print a line of our own at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def prefixes(names: Sequence[str], *, coloured: bool) -> dict[str, bytes]:
    """Return what stands before each line of each child, all of one width."""
    width = max(len(name) for name in names)
    plain = {name: f"{name:<{width}} | " for name in names}
    if not coloured:
        return {name: prefix.encode() for name, prefix in plain.items()}
    colours = (_COLOURS[index % len(_COLOURS)] for index in range(len(names)))
    return {
        name: f"\x1b[{colour}m{plain[name]}\x1b[0m".encode()
        for name, colour in zip(names, colours, strict=True)
    }


def start_copying(names: Sequence[str]) -> tuple[int, dict[str, int]]:
    """Start the copying process; call before starting threads.

    Returns its pid and a descriptor per name to write to. It ends when all writers are gone.
    """
    pipes = {name: os.pipe() for name in names}
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        try:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            for _, writer in pipes.values():
                os.close(writer)
            _copy({name: reader for name, (reader, _) in pipes.items()})
        finally:
            os._exit(0)
    for reader, _ in pipes.values():
        os.close(reader)
    return pid, {name: writer for name, (_, writer) in pipes.items()}


def _copy(readers: dict[str, int]) -> None:
    coloured = os.isatty(1) and not os.environ.get("NO_COLOR")
    prefix = prefixes(list(readers), coloured=coloured)
    rest = dict.fromkeys(readers, b"")
    with selectors.DefaultSelector() as selector:
        for name, reader in readers.items():
            selector.register(reader, selectors.EVENT_READ, name)
        while selector.get_map():
            for key, _ in selector.select():
                name = key.data
                read = os.read(key.fd, _READ_BYTES)
                if not read:
                    selector.unregister(key.fd)
                    read = b"\n" if rest[name] else b""
                *lines, rest[name] = (rest[name] + read).split(b"\n")
                _write(b"".join(prefix[name] + line + b"\n" for line in lines))


def _write(data: bytes) -> None:
    """Write to stdout; a reader that went away must not stop the children."""
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError:
        return
