"""Content-Encoding (RFC 9110, 8.4) undone piece by piece, for a body that came compressed on its way to a rewriter.

`Decoder` has no loop and does no I/O::

    decoder = Decoder(headers.get("content-encoding"))  # EncodingError where it names a coding we lack
    for chunk in body:
        for piece in decoder.feed(chunk):               # EncodingError where the bytes are broken
            ...
    decoder.finish()                                    # EncodingError where the body was cut

`decoded` and `decoded_iter` do that around a source, asynchronous or plain; closing them closes the source.

Decoded are gzip and x-gzip (RFC 1952; several members, too), deflate (RFC 9110, 8.4.1.2: the zlib format of RFC 1950;
also the raw deflate that some servers send by that name), identity, and lists of these. What the sender flushed comes
out with the chunk that brings it. Each piece of what was compressed has at most `PIECE` bytes and is made when it is
asked for, so that a decompression bomb takes no memory.
"""

import asyncio
import zlib
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack
from itertools import chain
from typing import Any, Self

from sse_fast.errors import EncodingError, FinishedError

__all__ = ["CODINGS", "PIECE", "Decoded", "DecodedIter", "Decoder", "decoded", "decoded_iter"]

CODINGS = ("gzip", "x-gzip", "deflate", "identity")
"""The codings that are decoded: what an ``Accept-Encoding`` may ask for."""
PIECE = 1 << 16
"""The most bytes of a decoded piece."""

# zlib copies what is left of its input whenever a piece is full: it gets the input in slices.
_SLICE = 1 << 12
# Each holds a window of 32 KiB, and no server sends even two. curl and urllib3 stop at five, too.
_MOST_CODINGS = 5

_GZIP = 16 + zlib.MAX_WBITS
_ZLIB = zlib.MAX_WBITS
_RAW = -zlib.MAX_WBITS


class Decoder:
    """Decodes one body. ``content_encoding`` is the header's value or None, several header lines joined with commas.

    Raises `EncodingError` where a coding is none of `CODINGS`, or where there are more than five.
    """

    codings: tuple[str, ...]
    """What there is to undo, in the order it was applied; empty where the body is as it is."""

    def __init__(self, content_encoding: str | bytes | None) -> None:
        named = content_encoding.decode("latin-1") if isinstance(content_encoding, bytes) else content_encoding or ""
        codings = [coding for item in named.split(",") if (coding := item.strip(" \t").lower())]
        for coding in codings:
            if coding not in CODINGS:
                raise EncodingError(
                    f"content-encoding {coding!r} cannot be decoded, only {', '.join(CODINGS)}: "
                    "ask the upstream for one of these with accept-encoding"
                )
        self.codings = tuple(coding for coding in codings if coding != "identity")
        if len(self.codings) > _MOST_CODINGS:
            raise EncodingError(
                f"content-encoding names {len(self.codings)} codings: at most {_MOST_CODINGS} are decoded"
            )
        self._stages = [_Inflate(coding) for coding in reversed(self.codings)]
        self._pieces: Iterator[bytes] = iter(())
        self._finished = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces that a chunk brings, none of them empty; where there is no coding to undo, the chunk itself.

        Take them all before the next call. Where the bytes are broken the iterator raises `EncodingError`; what was
        decoded of the same 4 KiB is lost. Raises `FinishedError` after `finish`.
        """
        if self._finished:
            raise FinishedError("the decoder is finished: each body needs a new one")
        self._check_taken()
        self._pieces = iter((data,) if data else ())
        for stage in self._stages:
            self._pieces = chain.from_iterable(map(stage.feed, self._pieces))
        return self._pieces

    def finish(self) -> None:
        """The body is over. Raises `EncodingError` where it was cut; a body without a byte is whole."""
        self._check_taken()
        self._finished = True
        for stage in self._stages:
            stage.finish()

    def _check_taken(self) -> None:
        if next(self._pieces, None) is not None:
            raise RuntimeError("the pieces of the chunk before were not all taken: iterate over what feed returns")


class _Inflate:
    """Undoes one coding."""

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._member: Any = None  # zlib's decompressor, None before and between members
        self._begun = False
        self._head = b""  # of a deflate body that is too short yet to tell its format
        self._place = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), _SLICE):
            part = self._head + data[start : start + _SLICE]
            try:
                yield from self._decompress(part)
            except zlib.error as error:
                end = self._place + len(part)
                raise EncodingError(f"content-encoding {self._coding!r}: broken before byte {end}: {error}") from error
            self._place += len(part) - len(self._head)

    def _decompress(self, data: bytes) -> Iterator[bytes]:
        while data or self._member is not None:
            if self._member is None and not (data := self._begin(data)):
                return
            piece = self._member.decompress(data, PIECE)
            if piece:
                yield piece
            if self._member.eof:
                data, self._member = self._member.unused_data, None
            elif len(piece) < PIECE:
                return
            else:
                data = self._member.unconsumed_tail  # where that is empty, zlib may hold more output yet

    def _begin(self, data: bytes) -> bytes:
        """Begin a member; what of the data belongs to it, ``b""`` where there is none yet."""
        self._head = b""
        if self._begun:
            data = data.lstrip(b"\0")  # padding, as gzip itself takes it
            if data and self._coding == "deflate":
                raise zlib.error("more bytes after the end")
        elif self._coding == "deflate" and len(data) < 2:
            self._head = data
            data = b""
        if data:
            self._member = zlib.decompressobj(self._format(data))
            self._begun = True
        return data

    def _format(self, data: bytes) -> int:
        if self._coding != "deflate":
            return _GZIP
        is_zlib = data[0] & 0x0F == zlib.DEFLATED and int.from_bytes(data[:2]) % 31 == 0
        return _ZLIB if is_zlib else _RAW

    def finish(self) -> None:
        if self._member is not None or self._head:
            place = self._place + len(self._head)
            raise EncodingError(f"content-encoding {self._coding!r}: the body was cut after byte {place}")


def decoded(source: AsyncIterable[bytes], content_encoding: str | bytes | None) -> "Decoded":
    """The body that an async iterable of chunks holds, decoded.

    Raises `EncodingError` at once for a coding that cannot be decoded, from the iteration where the body is broken.
    """
    return Decoded(source, Decoder(content_encoding))


class Decoded:
    """An async iterator of non-empty pieces; closing it closes the source, read or not: its iterator, then itself."""

    # A bare async generator that is closed before its first piece would not close the source.

    def __init__(self, source: AsyncIterable[bytes], decoder: Decoder) -> None:
        chunks = aiter(source)
        self._pieces = _pieces(chunks, decoder)
        self._closing = AsyncExitStack()
        for each in _distinct(source, chunks, self._pieces):
            if hasattr(each, "aclose"):
                self._closing.push_async_callback(each.aclose)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        """Close the source, once."""
        await self._closing.aclose()


async def _pieces(chunks: AsyncIterator[bytes], decoder: Decoder) -> AsyncIterator[bytes]:
    async for chunk in chunks:
        for piece in decoder.feed(chunk):
            yield piece
            if decoder.codings and len(piece) == PIECE:
                await asyncio.sleep(0)  # a bomb must not keep the loop for itself
    decoder.finish()


def decoded_iter(source: Iterable[bytes], content_encoding: str | bytes | None) -> "DecodedIter":
    """The same for synchronous code."""
    return DecodedIter(source, Decoder(content_encoding))


class DecodedIter:
    """An iterator of non-empty pieces; closing it closes the source, read or not: its iterator, then itself."""

    def __init__(self, source: Iterable[bytes], decoder: Decoder) -> None:
        chunks = iter(source)
        self._pieces: Iterator[bytes] = chain.from_iterable(_each(chunks, decoder))
        self._closing = ExitStack()
        for each in _distinct(source, chunks):
            if hasattr(each, "close"):
                self._closing.callback(each.close)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._pieces)

    def close(self) -> None:
        """Close the source, once."""
        self._pieces = iter(())
        self._closing.close()


def _each(chunks: Iterator[bytes], decoder: Decoder) -> Iterator[Iterator[bytes]]:
    for chunk in chunks:
        yield decoder.feed(chunk)
    decoder.finish()


def _distinct(*objects: Any) -> list[Any]:
    return list({id(each): each for each in objects}.values())
