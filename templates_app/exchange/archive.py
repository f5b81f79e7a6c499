"""Zip archives of a few small text files; everything else is refused before it costs anything."""

from __future__ import annotations

import io
import re
import stat
import zipfile
import zlib
from collections.abc import Mapping

from mailservice.core.errors import InvalidInputError

#: Path with slashes → content.
Files = Mapping[str, bytes]

MAX_ARCHIVE_BYTES = 10 * 1024 * 1024
MAX_FILES = 4_000
MAX_FILE_BYTES = 4 * 1024 * 1024
MAX_TOTAL_BYTES = 40 * 1024 * 1024
#: Text shrinks to a twentieth at best; what shrinks more, and is large, is there to do harm.
MAX_RATIO = 200
_SMALL_BYTES = 1024 * 1024
#: A folder inside a folder, and a file.
_MAX_PARTS = 3
_MAX_PATH_CHARS = 400
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
#: What systems leave beside people's files.
_LITTER = re.compile(r"(^|/)(__MACOSX|\.DS_Store|Thumbs\.db|desktop\.ini)(/|$)")
_ENTRY_MARK = b"PK\x01\x02"
#: Equal content makes an equal archive.
_EPOCH = (1980, 1, 1, 0, 0, 0)


def read_zip(data: bytes) -> Files:
    """Return the files of an archive. Raises `InvalidInputError` naming `file` or one of them."""
    if len(data) > MAX_ARCHIVE_BYTES:
        raise refusal("file", "too_large", f"At most {_megabytes(MAX_ARCHIVE_BYTES)}.")
    # The list of entries is read as a whole when an archive is opened, whatever it claims.
    if data.count(_ENTRY_MARK) > MAX_FILES:
        raise refusal("file", "too_many", f"At most {MAX_FILES:,} files.")
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _contents(archive)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError) as error:
        message = f"This is no zip archive that can be read: {error}"
        raise refusal("file", "invalid", message) from error


def write_zip(files: Files) -> bytes:
    """Return an archive; the same files make the same octets."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for path, content in sorted(files.items()):
            info = zipfile.ZipInfo(path, _EPOCH)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            archive.writestr(info, content)
    return made.getvalue()


def is_litter(path: str) -> bool:
    """Tell whether a file is none of its author's."""
    return bool(_LITTER.search(path))


def check_path(path: str) -> None:
    """Raise `InvalidInputError` for a path that leads, or could lead, out of its folder."""
    parts = path.split("/")
    if (
        len(path) > _MAX_PATH_CHARS
        or len(parts) > _MAX_PARTS
        or "\\" in path
        or _DRIVE.match(path)
        or _CONTROL.search(path)
        or any(part in {"", ".", ".."} for part in parts)
    ):
        raise refusal("file", "invalid_path", f"The name {path[:80]!r} is not allowed.")


def refusal(field: str, code: str, message: str) -> InvalidInputError:
    """Return the error for one fault of a file."""
    return InvalidInputError.for_field(field, message, code=code)


class Room:
    """What files may hold together."""

    def __init__(self) -> None:
        self._left = MAX_TOTAL_BYTES
        self._files = MAX_FILES

    def take(self, path: str, size: int) -> None:
        """Count a file. Raises `InvalidInputError`."""
        if size > MAX_FILE_BYTES:
            raise refusal(path, "too_large", f"A file has at most {_megabytes(MAX_FILE_BYTES)}.")
        self._left -= size
        self._files -= 1
        if self._left < 0:
            message = f"All files have at most {_megabytes(MAX_TOTAL_BYTES)} together."
            raise refusal("file", "too_large", message)
        if self._files < 0:
            raise refusal("file", "too_many", f"At most {MAX_FILES:,} files.")


def _contents(archive: zipfile.ZipFile) -> Files:
    files: dict[str, bytes] = {}
    room = Room()
    for info in archive.infolist():
        # `filename` is cut at a NUL and has its backslashes turned; judge what was written.
        path = info.orig_filename
        if is_litter(path):
            continue
        check_path(path.removesuffix("/"))
        if info.is_dir():
            continue
        _check_entry(info, path)
        room.take(path, info.file_size)
        if path in files:
            raise refusal(path, "exists", "The archive holds this file twice.")
        with archive.open(info) as entry:
            # No more than it claims is ever read; a false claim fails its checksum.
            files[path] = entry.read(info.file_size + 1)
    return files


def _check_entry(info: zipfile.ZipInfo, path: str) -> None:
    if info.flag_bits & 0x1:
        raise refusal(path, "encrypted", "The file is encrypted.")
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        raise refusal(path, "invalid", "Only plain files are read, no links.")
    if info.file_size > max(_SMALL_BYTES, MAX_RATIO * info.compress_size):
        raise refusal(path, "too_large", "The file is packed too tightly to be a text.")


def _megabytes(size: int) -> str:
    return f"{size // 1024**2} MB"
