"""Where the launcher keeps its things: one *home* per set of servers.

`var/local` serves development (`make run`, `manage.py`), `var/test` the tests. Everything secret
in a home is readable by its owner only.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROJECT_DIR = Path(__file__).resolve().parents[2]
DEVELOPMENT_HOME = PROJECT_DIR / "var" / "local"
TEST_HOME = PROJECT_DIR / "var" / "test"

#: The servers a home can have, as named on the keeper's command line.
SERVER_NAMES = ("postgres", "valkey")


@dataclass(frozen=True)
class Home:
    """A folder with the data and the state of one set of servers.

    `durable` homes survive a power cut; others trade that for speed and may be remade when broken.
    """

    path: Path
    durable: bool = True

    def state(self, server: str) -> ServerState:
        """Return the bookkeeping files of one server, making their folder."""
        folder = self.path / "state"
        folder.mkdir(parents=True, exist_ok=True)
        return ServerState(folder=folder, server=server)


@dataclass(frozen=True)
class ServerState:
    """The bookkeeping files of one server.

    Locks, always taken in this order: `users` is held shared by every client and exclusively by a
    keeper that shuts down; `start` guards the decision to start a keeper; `keeper` is held by the
    living keeper.
    """

    folder: Path
    server: str

    @property
    def users_lock(self) -> Path:
        """Held shared while somebody uses the server."""
        return self.folder / f"{self.server}.users.lock"

    @property
    def start_lock(self) -> Path:
        """Held while deciding whether a keeper has to be started."""
        return self.folder / f"{self.server}.start.lock"

    @property
    def keeper_lock(self) -> Path:
        """Held by the keeper as long as it lives."""
        return self.folder / f"{self.server}.keeper.lock"

    @property
    def address(self) -> Path:
        """JSON with `url` and the keeper's `pid`; exists while the server answers."""
        return self.folder / f"{self.server}.json"

    @property
    def log(self) -> Path:
        """What the server and its keeper had to say."""
        return self.folder / f"{self.server}.log"

    @property
    def port(self) -> Path:
        """The port used last, preferred next time."""
        return self.folder / f"{self.server}.port"


def write_private(path: Path, text: str) -> None:
    """Replace `path` by `text` in one step, readable by the owner only."""
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)


def read_text(path: Path) -> str | None:
    """Return the text of `path`, or None if there is no such file."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
