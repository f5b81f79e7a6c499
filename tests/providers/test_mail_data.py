"""A large mail answers like its bytes, without holding them."""

from collections.abc import Iterator
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from providers.mail_data import CHUNK_BYTES, LargeData, chunks_of


@dataclass
class Kept:
    """A part whose octets lie elsewhere."""

    octets: bytes
    step: int = 7

    def __len__(self) -> int:
        return len(self.octets)

    def chunks(self) -> Iterator[bytes]:
        for start in range(0, len(self.octets), self.step):
            yield self.octets[start : start + self.step]


ascii_octets = st.text(st.characters(max_codepoint=127), max_size=60).map(str.encode)


@given(st.lists(st.one_of(st.binary(max_size=60), ascii_octets.map(Kept)), max_size=6))
def test_it_answers_like_its_bytes(parts: list[bytes | Kept]) -> None:
    whole = b"".join(part if isinstance(part, bytes) else part.octets for part in parts)
    data = LargeData(tuple(parts))
    assert bytes(data) == b"".join(data.chunks()) == b"".join(chunks_of(data)) == whole
    assert (len(data), data.isascii()) == (len(whole), whole.isascii())
    assert all(data.chunks())


def test_chunks_are_never_large() -> None:
    large = b"x" * (2 * CHUNK_BYTES + 1)
    assert [len(chunk) for chunk in chunks_of(large)] == [CHUNK_BYTES, CHUNK_BYTES, 1]
    data = LargeData((b"head", large, b"", b"end"))
    assert [len(chunk) for chunk in data.chunks()] == [4, CHUNK_BYTES, CHUNK_BYTES, 1, 3]
    assert list(chunks_of(b"small")) == [b"small"]
