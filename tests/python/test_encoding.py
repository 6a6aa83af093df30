"""Content-Encoding undone piece by piece."""

import asyncio
import gzip
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sse_fast.encoding import CODINGS, PIECE, Decoder, decoded, decoded_iter
from sse_fast.errors import EncodingError, FinishedError
from support import bytewise, every_cut, in_sizes, random_cuts

TEXT = b"".join(b'data: {"n":%d,"model":"m"}\n\n' % n for n in range(300))


def deflate(data: bytes, wbits: int, level: int = 6) -> bytes:
    made = zlib.compressobj(level, wbits=wbits)
    return made.compress(data) + made.flush()


def zlibbed(data: bytes) -> bytes:
    return deflate(data, 15)


def raw(data: bytes) -> bytes:
    return deflate(data, -15)


ENCODERS = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlibbed, "deflate (raw)": raw}


def undo(coding: str | bytes | None, chunks: list[bytes]) -> bytes:
    decoder = Decoder(coding)
    pieces = [piece for chunk in chunks for piece in decoder.feed(chunk)]
    decoder.finish()
    assert all(pieces)
    assert not decoder.codings or all(len(piece) <= PIECE for piece in pieces)
    return b"".join(pieces)


@pytest.mark.parametrize("name", ENCODERS)
def test_every_coding_under_every_cut(name: str) -> None:
    body = ENCODERS[name](TEXT)
    for chunks in every_cut(body):
        assert undo(name.split()[0], chunks) == TEXT


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("size", [0, 1, 2, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 1_000_000])
def test_every_length(name: str, size: int) -> None:
    source = random.Random(size)
    for data in (bytes(size), source.randbytes(size)):
        body = ENCODERS[name](data)
        assert undo(name.split()[0], [body]) == data
        assert undo(name.split()[0], list(in_sizes(body, 1460))) == data


@pytest.mark.parametrize("coding", [None, "", "identity", b"identity", " , identity,"])
def test_identity_gives_the_very_chunks(coding) -> None:
    decoder = Decoder(coding)
    assert decoder.codings == ()
    chunk = bytes(3 * PIECE)
    (piece,) = decoder.feed(chunk)
    assert piece is chunk
    assert list(decoder.feed(b"")) == []
    decoder.finish()


def test_lists_are_undone_from_their_end() -> None:
    body = zlibbed(gzip.compress(raw(TEXT)))
    decoder = Decoder("Deflate, identity ,GZIP,\tdeflate,")
    assert decoder.codings == ("deflate", "gzip", "deflate")
    for chunks in ([body], bytewise(body)):
        assert undo("deflate, gzip, deflate", chunks) == TEXT


def test_several_gzip_members_and_padding() -> None:
    body = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two") + bytes(700)
    for chunks in every_cut(body):
        assert undo("gzip", chunks) == b"one two"


def test_many_empty_members() -> None:
    assert undo("gzip", [gzip.compress(b"") * 5_000]) == b""


@pytest.mark.parametrize("name", ENCODERS)
def test_G4_what_was_flushed_comes_out_at_once(name: str) -> None:
    wbits = {"gzip": 31, "x-gzip": 31, "deflate": 15, "deflate (raw)": -15}[name]
    encoder = zlib.compressobj(wbits=wbits)
    decoder = Decoder(name.split()[0])
    for n in range(50):
        event = b"data: %d\n\n" % n
        flushed = encoder.compress(event) + encoder.flush(zlib.Z_SYNC_FLUSH)
        assert b"".join(decoder.feed(flushed)) == event


def test_G6_a_bomb_comes_in_pieces() -> None:
    size = 200 << 20
    encoder = zlib.compressobj(9, wbits=31)
    bomb = b"".join([*(encoder.compress(bytes(1 << 20)) for _ in range(200)), encoder.flush()])
    decoder, total = Decoder("gzip"), 0
    tracemalloc.start()
    try:
        for piece in decoder.feed(bomb):
            assert len(piece) <= PIECE
            total += len(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    decoder.finish()
    assert total == size
    assert peak < 1 << 20


def test_G6_a_bomb_in_a_bomb() -> None:
    size = 64 << 20
    bomb = gzip.compress(gzip.compress(bytes(size)))
    assert len(bomb) < 1000
    assert sum(map(len, Decoder("gzip, gzip").feed(bomb))) == size


@pytest.mark.parametrize("name", ENCODERS)
def test_a_body_cut_anywhere_gives_what_came_and_then_the_error(name: str) -> None:
    body = ENCODERS[name](TEXT)
    coding = name.split()[0]
    for end in [*range(1, 40), *range(40, len(body) - 20, 37), *range(len(body) - 20, len(body))]:
        for chunks in ([body[:end]], bytewise(body[:end])):
            decoder = Decoder(coding)
            out = b"".join(piece for chunk in chunks for piece in decoder.feed(chunk))
            assert TEXT.startswith(out)
            with pytest.raises(EncodingError, match=rf"'{coding}': the body was cut after byte {end}$"):
                decoder.finish()


def test_an_empty_body_is_whole() -> None:
    for coding in CODINGS:
        assert undo(coding, []) == undo(coding, [b""]) == b""


def test_broken_bytes_are_an_error_at_their_place() -> None:
    flat = gzip.compress(random.Random(1).randbytes(50_000), compresslevel=0)
    for place in (0, 5_000, 25_000, len(flat) - 6):  # the magic, the data, the data, the check sum
        body = bytearray(flat)
        body[place] ^= 0xFF
        decoder = Decoder("gzip")
        with pytest.raises(EncodingError, match=r"'gzip': broken before byte \d+: ") as caught:
            list(decoder.feed(bytes(body)))
        end = int(str(caught.value).split("byte ")[1].split(":")[0])
        assert place < end
        assert place == 5_000 or place == 25_000 or end - place <= 4096
        with pytest.raises(EncodingError):
            decoder.finish()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", TEXT),
        ("gzip", zlibbed(TEXT)),
        ("gzip", gzip.compress(TEXT) + b"garbage"),
        ("deflate", b"\xff\xff\xff"),
        ("deflate", zlibbed(TEXT) + b"x"),
        ("deflate", zlibbed(TEXT) + zlibbed(TEXT)),
        ("deflate", gzip.compress(TEXT)),
        ("gzip, deflate", gzip.compress(TEXT)),
        ("gzip, deflate", zlibbed(TEXT)),
    ],
)
def test_what_is_not_that_coding_is_an_error(coding: str, body: bytes) -> None:
    for chunks in ([body], bytewise(body)):
        with pytest.raises(EncodingError, match=f"content-encoding '{coding.split(', ')[0]}|deflate'"):
            undo(coding, chunks)


@pytest.mark.parametrize("coding", ["br", "zstd", "compress", "gzip, br", b"BR", "gzip;q=1", "aes128gcm"])
def test_F30_what_cannot_be_decoded_is_refused_at_construction(coding) -> None:
    with pytest.raises(
        EncodingError, match="cannot be decoded, only gzip, x-gzip, deflate, identity: ask the upstream"
    ):
        Decoder(coding)
    with pytest.raises(EncodingError):
        decoded_iter([], coding)


def test_a_long_list_is_refused() -> None:
    Decoder(", ".join(["gzip"] * 5))
    with pytest.raises(EncodingError, match="names 6 codings: at most 5"):
        Decoder(", ".join(["gzip"] * 6))


def test_errors_of_use() -> None:
    decoder = Decoder("gzip")
    decoder.feed(gzip.compress(TEXT))
    with pytest.raises(RuntimeError, match="not all taken"):
        decoder.feed(b"x")
    decoder = Decoder("identity")
    decoder.feed(b"x")
    with pytest.raises(RuntimeError, match="not all taken"):
        decoder.finish()
    decoder = Decoder("gzip")
    decoder.finish()
    with pytest.raises(FinishedError, match="each body needs a new one"):
        decoder.feed(b"x")


@given(st.binary(max_size=3000), st.sampled_from(sorted(ENCODERS)), st.integers(0, 2**32))
def test_round_trip(data: bytes, name: str, seed: int) -> None:
    assert undo(name.split()[0], random_cuts(ENCODERS[name](data), seed)) == data


@given(st.binary(max_size=300), st.sampled_from(["gzip", "deflate", "deflate, gzip"]), st.integers(0, 2**32))
def test_G9_noise_ends_in_an_error_or_an_end(data: bytes, coding: str, seed: int) -> None:
    whole = outcome(coding, [data])
    assert outcome(coding, random_cuts(data, seed)) == whole


def outcome(coding: str, chunks: list[bytes]) -> bytes | None:
    try:
        return undo(coding, chunks)
    except EncodingError:
        return None


class Source:
    """Chunks, and a record of their being read and closed; asynchronous and plain."""

    def __init__(self, *chunks: bytes, error: Exception | None = None) -> None:
        self.chunks = list(chunks)
        self.error = error
        self.read = 0
        self.closed = 0

    def __iter__(self):
        for chunk in self.chunks:
            self.read += 1
            yield chunk
        if self.error is not None:
            raise self.error

    async def __aiter__(self):
        for chunk in self:
            yield chunk

    def close(self) -> None:
        self.closed += 1

    async def aclose(self) -> None:
        self.closed += 1


@pytest.mark.anyio
async def test_decoded_reads_a_chunk_only_when_asked_and_closes_once() -> None:
    source = Source(*in_sizes(gzip.compress(random.Random(0).randbytes(10_000)), 1000))
    pieces = decoded(source, "gzip")
    assert source.read == 0
    assert await anext(pieces)
    assert source.read <= 2
    await pieces.aclose()
    await pieces.aclose()
    assert source.closed == 1
    assert [piece async for piece in pieces] == []


@pytest.mark.anyio
async def test_decoded_closes_what_was_never_read() -> None:
    source = Source(b"x")
    await decoded(source, "gzip").aclose()
    assert (source.read, source.closed) == (0, 1)


@pytest.mark.anyio
async def test_decoded_gives_all_and_raises_what_the_source_raises() -> None:
    body = gzip.compress(TEXT)
    assert b"".join([piece async for piece in decoded(Source(*in_sizes(body, 100)), "gzip")]) == TEXT
    with pytest.raises(EncodingError, match="cut after byte 100"):
        [piece async for piece in decoded(Source(body[:100]), "gzip")]
    pieces = decoded(Source(body, error=OSError("gone")), "gzip")
    with pytest.raises(OSError, match="gone"):
        [piece async for piece in pieces]
    assert [piece async for piece in pieces] == []


@pytest.mark.anyio
async def test_decoded_lets_others_run_while_a_bomb_goes_off() -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(others())
    assert (
        sum([len(piece) async for piece in decoded(Source(gzip.compress(bytes(100 * PIECE))), "gzip")]) == 100 * PIECE
    )
    task.cancel()
    assert turns >= 99


def test_decoded_iter_does_the_same() -> None:
    body = gzip.compress(TEXT)
    assert b"".join(decoded_iter(in_sizes(body, 100), "gzip")) == TEXT
    with pytest.raises(EncodingError, match="cut after byte 100"):
        list(decoded_iter([body[:100]], "gzip"))
    source = Source(body)
    pieces = decoded_iter(source, "gzip")
    assert source.read == 0
    assert next(pieces)
    pieces.close()
    pieces.close()
    assert (source.read, source.closed) == (1, 1)
    assert list(pieces) == []
