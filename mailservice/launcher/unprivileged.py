"""PostgreSQL refuses to run as root; as root we run it as an account that may reach little.

Folders closed to others (a checkout below /root, a venv with mode 0700) stay closed: what that
account needs goes to a folder of its own under /var/lib/mailservice-local instead.
"""

from __future__ import annotations

import hashlib
import os
import pwd
import shutil
import stat
import tempfile
from pathlib import Path

from mailservice.launcher.errors import LauncherError
from mailservice.launcher.processes import Account

_OUTSIDE = (Path("/var/lib/mailservice-local"), Path(tempfile.gettempdir()) / "mailservice-local")
_FALLBACK_ID = 65534


def choose_account(data: Path) -> Account | None:
    """Return who shall run the server with `data`; None stands for the current user.

    Root hands over to the owner of existing data, else to `nobody`.
    """
    if os.geteuid() != 0:
        return None
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return Account(_FALLBACK_ID, _FALLBACK_ID)
    return Account(nobody.pw_uid, nobody.pw_gid)


def can_enter(account: Account, folder: Path) -> bool:
    """Tell whether `account` can list and enter `folder`; asks the kernel as that account."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(account.gid)
            os.setuid(account.uid)
            allowed = os.access(folder, os.R_OK | os.X_OK)
        except OSError:
            allowed = False
        os._exit(0 if allowed else 1)
    return os.waitpid(child, 0)[1] == 0


def own_folder(folder: Path, account: Account | None) -> Path:
    """Make `folder` for `account` alone and return where it really is.

    Where the account cannot reach it, `folder` becomes a link to one that it can.
    """
    if account is None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder
    if folder.is_symlink() and _is_home_of(folder.resolve(), folder):
        return folder.resolve()
    if folder.is_symlink():  # the target is gone, or this is a copy of another home
        folder.unlink()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chown(folder, account.uid, account.gid)
    if can_enter(account, folder):
        return folder
    if any(folder.iterdir()):
        raise LauncherError(f"{folder} has data, but uid {account.uid} cannot reach it any more.")
    base = _outside(account)
    _remove_forgotten(base, folder)
    target = Path(tempfile.mkdtemp(prefix="data-", dir=base))
    (target / "home").write_text(str(folder), encoding="utf-8")
    os.chown(target, account.uid, account.gid)
    folder.rmdir()
    folder.symlink_to(target)
    return target


def _remove_forgotten(base: Path, folder: Path) -> None:
    """Delete what an earlier home at the same place left in `base` when it was deleted."""
    for note in base.glob("data-*/home"):
        is_running = (note.parent / "data" / "postmaster.pid").exists()
        if note.read_text(encoding="utf-8") == str(folder) and not is_running:
            shutil.rmtree(note.parent)


def _is_home_of(target: Path, folder: Path) -> bool:
    """Tell whether `target` belongs to the link `folder`, adopting it after a move."""
    note = target / "home"
    if not note.exists():
        return False
    owner = Path(note.read_text(encoding="utf-8"))
    if owner != folder and owner.resolve() == target:
        return False
    note.write_text(str(folder), encoding="utf-8")
    return True


def reachable_copy(package: Path, parts: tuple[Path, ...], account: Account | None) -> Path:
    """Return a folder with `parts` (below `package`) that `account` can read, copying if needed.

    A copy is kept and used again as long as the originals keep their size and time.
    """
    if account is None or all(can_enter(account, package / part) for part in parts):
        return package
    target = _outside(account) / f"programs-{_fingerprint(package, parts)}"
    if not target.exists():
        draft = Path(tempfile.mkdtemp(prefix="draft-", dir=target.parent))
        for part in parts:
            shutil.copytree(package / part, draft / part, symlinks=True)
        _open_to_readers(draft)
        try:
            draft.rename(target)
        except OSError:  # another checkout was faster
            shutil.rmtree(draft)
    return target


def _open_to_readers(root: Path) -> None:
    for path in (root, *root.rglob("*")):
        if not path.is_symlink():
            path.chmod(path.stat().st_mode | (0o055 if path.is_dir() else 0o044))
            if path.stat().st_mode & stat.S_IXUSR:
                path.chmod(path.stat().st_mode | 0o011)


def _fingerprint(package: Path, parts: tuple[Path, ...]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        for path in sorted((package / part).rglob("*")):
            facts = path.lstat()
            digest.update(f"{path.name} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _outside(account: Account) -> Path:
    """Return a folder of root's that `account` can enter, made if missing."""
    for base in _OUTSIDE:
        try:
            base.mkdir(mode=0o755, exist_ok=True)
            facts = base.lstat()
            if stat.S_ISDIR(facts.st_mode) and facts.st_uid == 0 and not facts.st_mode & 0o022:
                base.chmod(0o755)
                if can_enter(account, base):
                    return base
        except OSError:
            continue
    tried = " nor ".join(str(base) for base in _OUTSIDE)
    raise LauncherError(
        f"PostgreSQL has to run as uid {account.uid}, which can use neither {tried}."
    )


def remove_home(home: Path, servers: tuple[str, ...]) -> None:
    """Delete a home whose servers are down, with the data it keeps elsewhere."""
    for folder in (home / server for server in servers):
        if folder.is_symlink() and _is_home_of(folder.resolve(), folder):
            shutil.rmtree(folder.resolve())
    if home.exists():
        shutil.rmtree(home)
