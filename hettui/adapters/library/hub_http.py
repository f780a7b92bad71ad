"""A hub of models over HTTP, by Hugging Face's API: what a repository holds, and ranges of its files.

httpx and not huggingface_hub: it is a dependency already, a header is judged by ranges before a byte of weights is
fetched, which that library does not do, and it would bring fifteen packages of 35 MiB along (its import costs the
same). Everything that comes has a size; a range that is not the one that was asked for is never written anywhere.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from hettui.domain.errors import HettuiError
from hettui.domain.json_text import parse_json
from hettui.domain.library.fetching import Identity, content_range, retry_after_s
from hettui.domain.library.hub import Named, RepoFile, file_path, files_in, tree_path
from hettui.domain.text import clean_line

if TYPE_CHECKING:
    import httpx

_CONNECT_S, _READ_S = 10.0, 30.0
_MOST_REDIRECTS = 5
_PAGE_BYTES = 8 << 20
_MOST_PAGES = 50
_LONGEST_WAIT_S = 60.0
_FIRST_WAIT_S = 1.0
_HEAD_STEP_BYTES = 1 << 20
_MOST_HEAD_BYTES = 256 << 20
"""Of a header that is read from afar: vocabularies have some ten MiB."""
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})


class Again(Exception):
    """A try that may go well the next time."""

    def __init__(self, what: str, after_s: float | None = None) -> None:
        super().__init__(what)
        self.after_s = after_s


class Changed(HettuiError):
    """The file at the hub is another one than when its fetch began."""


class Hub:
    """One hub. May be used by several threads at once."""

    def __init__(
        self,
        endpoint: str,
        token: str | None = None,
        *,
        tries: int = 6,
        sleep: Callable[[float], object] | None = None,
        transport: httpx.BaseTransport | None = None,
        read_s: float = _READ_S,
    ) -> None:
        """`endpoint`: empty where only URLs are asked for. `tries`: of a question, or of a range without a new byte."""
        import httpx

        self._httpx = httpx
        self._endpoint = endpoint
        self._token = token
        self._client = httpx.Client(
            headers={"User-Agent": "hettui", "Accept-Encoding": "identity"},
            timeout=httpx.Timeout(read_s, connect=_CONNECT_S),
            follow_redirects=True,
            transport=transport,
        )
        self._client.max_redirects = _MOST_REDIRECTS
        self._tries = tries
        self.stop = threading.Event()
        """Set: whoever waits for the next try gives up at once."""
        self._sleep = sleep or self.stop.wait

    def close(self) -> None:
        self._client.close()

    def url_of(self, named: Named, file: RepoFile) -> str:
        return self._endpoint + file_path(named, file)

    def files(self, named: Named) -> list[RepoFile]:
        """All GGUF files of a repository. Blocks. Raises HettuiError."""
        found: list[RepoFile] = []
        url: str | None = self._endpoint + tree_path(named)
        for _ in range(_MOST_PAGES):
            if url is None:
                break
            page, following = self._again(lambda at=url: self._page(at), named.repo)  # type: ignore[misc]
            found += files_in(page)
            url = following if following and _origin(following) == _origin(self._endpoint) else None
        return found

    def _page(self, url: str) -> tuple[Any, str | None]:
        with self._asked(url, {}) as response:
            body = bytearray()
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > _PAGE_BYTES:
                    raise HettuiError(f"the hub's list is larger than {_PAGE_BYTES >> 20} MiB: is it a hub?")
            following = response.links.get("next", {}).get("url")
            try:
                return parse_json(body.decode("utf-8", "replace")), following and urljoin(url, following)
            except ValueError:
                raise HettuiError(f"{clean_line(url, 120)} answers no JSON: is it a hub?") from None

    def identity(self, url: str, what: str) -> tuple[Identity, bool]:
        """Size and ETag of a file, and whether ranges of it are given. Blocks. Raises HettuiError."""
        found: tuple[Identity, bool] = self._again(lambda: self._identity(url), what)
        return found

    def _identity(self, url: str) -> tuple[Identity, bool]:
        with self._asked(url, {"Range": "bytes=0-0"}) as response:
            if response.status_code == 206:
                found = content_range(response.headers.get("content-range"))
                if found is None or found[0] != 0:
                    raise Again("the server gave a range that was not asked for")
                return Identity(found[2], _etag(response)), True
            length = response.headers.get("content-length", "")
            if not length.isdecimal() or len(length) > 15:
                raise HettuiError(f"{clean_line(url, 120)}: the server does not say how large it is")
            return Identity(int(length), _etag(response)), False

    def read(self, url: str, begin: int, end: int, of: Identity, take: Callable[[int, bytes], None], what: str) -> None:
        """The bytes from `begin` to before `end`, given to `take` with their place as they come. What has come is not
        asked for again. Blocks. Raises HettuiError, Changed, and what `take` raises."""
        at, tried = begin, 0
        while at < end:
            before = at
            try:
                for place, data in self._range(url, at, end, of):
                    take(place, data)
                    at = place + len(data)
                cut: Exception | None = Again("the connection was cut") if at < end else None
            except (Again, self._httpx.TransportError) as error:
                cut = error
            except Changed:
                raise
            except HettuiError as error:
                raise HettuiError(f"{clean_line(what, 160)}: {error}") from None
            if cut is not None:
                tried = 1 if at > before else tried + 1
                self._wait_or_fail(cut, tried, what)

    def _range(self, url: str, begin: int, end: int, of: Identity) -> Iterator[tuple[int, bytes]]:
        with self._asked(url, {"Range": f"bytes={begin}-{end - 1}"}) as response:
            at = begin
            if response.status_code == 206:
                found = content_range(response.headers.get("content-range"))
                if found is None or found[0] != begin or found[1] > end:
                    raise Again("the server gave a range that was not asked for")
                size = found[2]
            else:
                # All of it, whatever was asked: what was not is passed over.
                at, size = 0, int(response.headers.get("content-length") or of.size_bytes)
            if not of.same_as(Identity(size, _etag(response))):
                raise Changed("it was changed at the hub since its fetch began: fetch it anew")
            for chunk in response.iter_raw():
                first, at = at, at + len(chunk)
                part = chunk[max(0, begin - first) : max(0, end - first)]
                if part:
                    yield max(first, begin), part
                if at >= end:
                    return

    @contextmanager
    def _asked(self, url: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """An answer that is one; its body is the caller's. Raises Again, HettuiError, httpx.TransportError."""
        # The token is the hub's: no other address gets it, neither that of a URL nor, by httpx, of a redirect.
        if self._token and _origin(url) == _origin(self._endpoint):
            headers = {**headers, "Authorization": f"Bearer {self._token}"}
        try:
            with self._client.stream("GET", url, headers=headers) as response:
                status = response.status_code
                if status in _BUSY:
                    after_s = retry_after_s(response.headers.get("retry-after"), _LONGEST_WAIT_S)
                    raise Again(f"the hub is busy (HTTP {status})", after_s)
                if status not in (200, 206):
                    raise HettuiError(_refused(status))
                if response.headers.get("content-encoding", "identity").lower() not in ("identity", ""):
                    raise Again("the server compressed what was not to be compressed")
                yield response
        except self._httpx.TooManyRedirects:
            raise HettuiError(f"{clean_line(url, 120)} leads round in a circle") from None
        except (self._httpx.InvalidURL, self._httpx.UnsupportedProtocol) as error:
            raise HettuiError(f"{clean_line(url, 120)} is no address: {clean_line(str(error), 100)}") from None

    def _again(self, ask: Callable[[], Any], what: str) -> Any:
        tried = 0
        while True:
            try:
                return ask()
            except (Again, self._httpx.TransportError) as error:
                tried += 1
                self._wait_or_fail(error, tried, what)
            except HettuiError as error:
                raise HettuiError(f"{clean_line(what, 160)}: {error}") from None

    def _wait_or_fail(self, error: Exception, tried: int, what: str) -> None:
        """Longer from one try to the next; what the server says of it goes before that."""
        if tried >= self._tries:
            why = str(error) if isinstance(error, Again) else _network(error)
            raise HettuiError(
                f"{clean_line(what, 160)}: {clean_line(why, 160)}, {tried} times; try again later"
            ) from None
        if self.stop.is_set():
            raise HettuiError(f"{clean_line(what, 160)}: stopped") from None
        after_s = error.after_s if isinstance(error, Again) else None
        self._sleep(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2 ** (tried - 1)) if after_s is None else after_s)


class RemoteFile:
    """The beginning of a file at a hub, as far as a header's reader asks for it."""

    def __init__(self, hub: Hub, url: str, identity: Identity, what: str) -> None:
        self._hub, self._url, self._identity, self._what = hub, url, identity, what
        self._head = bytearray()

    @property
    def fetched_bytes(self) -> int:
        return len(self._head)

    def pread(self, count: int, offset: int) -> bytes:
        """As `os.pread`. Raises HettuiError."""
        end = min(offset + count, self._identity.size_bytes)
        if offset > len(self._head) + _MOST_HEAD_BYTES or end > _MOST_HEAD_BYTES:
            if count > _HEAD_STEP_BYTES:
                raise HettuiError(f"{clean_line(self._what, 160)}: its header does not end")
            return self._bytes(offset, end)
        if end > len(self._head):
            # Twice as much from one time to the next: few questions, and not much too much.
            goal = max(end, len(self._head) + max(_HEAD_STEP_BYTES, len(self._head)))
            self._head += self._bytes(len(self._head), min(goal, self._identity.size_bytes))
        return bytes(self._head[offset:end])

    def _bytes(self, begin: int, end: int) -> bytes:
        found = bytearray(max(0, end - begin))

        def take(place: int, data: bytes) -> None:
            found[place - begin : place - begin + len(data)] = data

        if end > begin:
            self._hub.read(self._url, begin, end, self._identity, take, self._what)
        return bytes(found)


def _etag(response: httpx.Response) -> str:
    """The hub's own, which is the sum of large files, before that of the store that it leads to."""
    told = [one.headers.get("x-linked-etag") for one in (*response.history, response)]
    said = next((text for text in told if text), None) or response.headers.get("etag") or ""
    return clean_line(said.removeprefix("W/").strip('"'), 200)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc


def _refused(status: int) -> str:
    if status in (401, 403):
        return (
            f"the hub does not give it (HTTP {status}): accept its terms on its page, and set HF_TOKEN, or "
            "HF_TOKEN_PATH to a file with the token"
        )
    if status == 404:
        return "the hub has nothing of that name (HTTP 404): check it; private ones need HF_TOKEN"
    if status == 416:
        return "it was changed at the hub since its fetch began (HTTP 416): fetch it anew"
    return f"the hub refused with HTTP {status}"


def _network(error: Exception) -> str:
    """httpx's own words are for programmers."""
    name = type(error).__name__
    if "Timeout" in name:
        return "the hub does not answer in time"
    if name == "ConnectError":
        return f"the hub is not reached ({clean_line(str(error), 80)})"
    return "the connection was cut"
