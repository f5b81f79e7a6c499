"""Files encoded once: the octets, where they lie, and who waits for whom."""

import gc
import os
import tempfile
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st

from delivery.compose import EncodedFiles, SpoolError, encode_file
from delivery.compose.bodies import wrapped_base64
from delivery.compose.encoded import IN_MEMORY_BYTES, SpooledFile
from providers.mail_data import CHUNK_BYTES

LARGE = bytes(range(256)) * 400
#: So many octets make exactly `IN_MEMORY_BYTES` of whole lines or fewer.
LARGEST_IN_MEMORY = IN_MEMORY_BYTES // 78 * 57


def octets(encoded):
    return encoded if isinstance(encoded, bytes) else b"".join(encoded.chunks())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def open_files(folder):
    """Return how many of our descriptors are of files in a folder, deleted ones included."""
    gc.collect()
    targets = []
    for entry in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # another thread closed it meanwhile
            targets.append(str(entry.readlink()))
    return sum(target.startswith(f"{folder}/") for target in targets)


def spooled(data):
    encoded = encode_file([data])
    assert isinstance(encoded, SpooledFile)
    return encoded


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_pieces_make_the_same_lines_wherever_they_were_cut(pieces):
    assert encode_file(pieces) == wrapped_base64(b"".join(pieces))


@given(st.integers(min_value=1, max_value=70_000))
def test_a_large_file_is_the_same_on_disk(step):
    pieces = [LARGE[start : start + step] for start in range(0, len(LARGE), step)]
    encoded = encode_file([*pieces[:1000], b"".join(pieces[1000:])])
    assert isinstance(encoded, SpooledFile)
    chunks = list(encoded.chunks())
    assert b"".join(chunks) == wrapped_base64(LARGE)
    assert max(map(len, chunks)) == CHUNK_BYTES
    assert len(encoded) == sum(map(len, chunks))


def test_the_limit_decides_where_a_file_lies():
    assert isinstance(encode_file([b"x" * LARGEST_IN_MEMORY]), bytes)
    assert isinstance(encode_file([b"x" * (LARGEST_IN_MEMORY + 57)]), SpooledFile)


def test_a_spooled_file_has_no_name_and_goes_with_its_last_reference(folder):
    encoded = spooled(LARGE)
    assert list(folder.iterdir()) == []
    assert open_files(folder) == 1
    chunks = encoded.chunks()
    next(chunks)
    del encoded
    assert b64decode(b"".join(chunks))
    del chunks
    assert open_files(folder) == 0


def test_a_spooled_file_that_lost_its_end_is_noticed():
    encoded = spooled(LARGE)
    os.ftruncate(encoded._descriptor, 1000)
    with pytest.raises(SpoolError):
        list(encoded.chunks())


def test_a_missing_temporary_folder_does_not_look_like_a_missing_attachment(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(SpoolError) as caught:
        encode_file([LARGE])
    assert not isinstance(caught.value, FileNotFoundError)


def test_threads_that_ask_at_once_share_one_encoding():
    files, barrier, reads = EncodedFiles(), Barrier(8), []

    def read():
        reads.append(1)
        yield LARGE

    def ask(_number):
        barrier.wait(10)
        return files.get("key", read)

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert len(reads) == 1
    assert all(one is found[0] for one in found)


def test_threads_read_one_file_at_once_each_as_a_whole():
    encoded = encode_file([LARGE])
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: octets(encoded), range(50)))
    assert set(found) == {wrapped_base64(LARGE)}


def test_a_failure_is_told_and_the_next_call_tries_again():
    files = EncodedFiles()

    def gone():
        yield LARGE
        raise FileNotFoundError("gone")

    for _ in range(2):
        with pytest.raises(FileNotFoundError, match="gone"):
            files.get("key", gone)
    assert octets(files.get("key", lambda: [b"x"])) == b"eA==\r\n"
    assert octets(files.get("key", gone)) == b"eA==\r\n"


def test_the_least_recently_used_go_first_and_stay_readable_while_used(folder):
    size = len(wrapped_base64(LARGE))
    files = EncodedFiles(max_bytes=2 * size)
    reads = []

    def get(key):
        def read():
            reads.append(key)
            yield LARGE

        return files.get(key, read)

    first = get("a")
    for key in "baca":  # c drives b out, which was used before a
        get(key)
    assert reads == ["a", "b", "c"]
    get("b")
    get("a")
    assert reads == ["a", "b", "c", "b"]
    get("c")
    get("b")
    assert open_files(folder) == 3
    assert octets(first) == wrapped_base64(LARGE)
    del first
    assert open_files(folder) == 2


def test_the_number_of_files_is_bounded_and_the_newest_stays():
    files = EncodedFiles(max_bytes=1, max_files=3)
    reads = []

    def get(key):
        def read():
            reads.append(key)
            yield b"x"

        return files.get(key, read)

    for key in "aabb":
        get(key)
    assert reads == ["a", "b"]
