"""Every body that comes over HTTP is read here: with a size, with a time, and never followed elsewhere.

Nothing compressed is asked for. What comes compressed all the same is unpacked up to the size that was granted, in one
layer: a few bytes may stand for gigabytes.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from hettui.domain.records import dataclass

if TYPE_CHECKING:
    import httpx

ERROR_BYTES = 64 * 1024
"""Of an error's body. What follows is not worth reading."""
_WBITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came, or its beginning."""

    status: int
    body: bytes
    whole: bool
    """False: there is more than was granted, or it cannot be unpacked."""


async def fetch(client: httpx.AsyncClient, path: str, most_bytes: int, seconds: float) -> Answer:
    """One GET. Raises httpx.HTTPError, and TimeoutError when all of it takes longer."""
    async with asyncio.timeout(seconds), client.stream("GET", path) as response:
        return await read(response, most_bytes)


async def post(client: httpx.AsyncClient, path: str, body: object, most_bytes: int, seconds: float) -> Answer:
    """As `fetch`, of one POST with JSON."""
    async with asyncio.timeout(seconds), client.stream("POST", path, json=body) as response:
        return await read(response, most_bytes)


async def read(response: httpx.Response, most_bytes: int) -> Answer:
    """The body, up to so many bytes; the rest is left at the server. Its time is the caller's."""
    encoding = encoding_of(response)
    parts, size = [], 0
    chunks = response.aiter_raw() if encoding else response.aiter_bytes()
    async for chunk in chunks:
        parts.append(chunk)
        size += len(chunk)
        if size > most_bytes:
            break
    body, whole = b"".join(parts)[:most_bytes], size <= most_bytes
    if encoding:
        body, whole = _unpacked(encoding, body, most_bytes, whole=whole)
    return Answer(response.status_code, body, whole)


def encoding_of(response: httpx.Response) -> str:
    """How the body is compressed; empty when it is not, as was asked for."""
    said = response.headers.get("content-encoding", "").strip().lower()
    return "" if said == "identity" else said


def _unpacked(encoding: str, body: bytes, most_bytes: int, *, whole: bool) -> tuple[bytes, bool]:
    wbits = _WBITS.get(encoding)
    if wbits is None:
        return b"", False
    unpacker = zlib.decompressobj(wbits)
    try:
        text = unpacker.decompress(body, most_bytes)
    except zlib.error:
        return b"", False
    return text, whole and not unpacker.unconsumed_tail
