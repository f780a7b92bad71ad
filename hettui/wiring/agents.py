"""What coding agents need of the cluster that runs, or of a server that is named; tried as they would ask it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from hettui.adapters.files.atomic import replace_file
from hettui.adapters.files.bounded import read_file
from hettui.adapters.llama.http import HttpLlamaClient
from hettui.adapters.llama.http_trial import try_apis
from hettui.domain.chat.agents import Endpoint, Tried, agents
from hettui.domain.cluster.address import pasted
from hettui.domain.errors import HettuiError, ServerError, UsageError
from hettui.wiring.looking import status
from hettui.wiring.sessions import api_key, recorded_session

_MOST_BYTES = 1 << 20


def endpoint(url: str | None) -> tuple[Endpoint, str | None]:
    """The server and its key. Raises HettuiError when nothing runs, UsageError for no URL."""
    if url is not None:
        return _asked(pasted(url), os.environ.get("LLAMA_API_KEY"), None)
    found = status()
    if found.api is None or found.record is None:
        raise HettuiError("no cluster is ready: hettui up starts the configured one, --url names another server")
    config = recorded_session(found.record).config
    return _asked(found.api, api_key(config), config.serving.api_key_file)


def _asked(url: str, key: str | None, key_file: str | None) -> tuple[Endpoint, str | None]:
    async def look() -> Endpoint:
        client = HttpLlamaClient(url, key)
        try:
            if not await client.health():
                raise ServerError(client.complaint or f"llama-server is not ready at {url}")
            facts = await client.facts()
        finally:
            await client.close()
        # A server without an alias names its model by its path, and takes any name.
        model = Path(facts.model_name or "model").name.removesuffix(".gguf")
        return Endpoint(url.rstrip("/"), model, facts.slot_context_tokens, key_file, has_key=bool(key))

    return asyncio.run(look()), key


def tried(of: Endpoint, key: str | None) -> tuple[Tried, ...]:
    """Every API that one of the agents speaks."""
    apis = tuple(dict.fromkeys(one.api for one in agents(of)))
    return asyncio.run(try_apis(of.url, key, of.model, apis))


def write(path: str, text: str, *, force: bool) -> None:
    """Raises UsageError for a file that is there, unless it is to be replaced; it is kept as `.bak`."""
    target = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - a link at its end is replaced
    try:
        if target.exists():
            if not force:
                raise UsageError(f"{path} exists already: name another file, or use --force, which keeps it as .bak")
            replace_file(target.with_name(f"{target.name}.bak"), read_file(target, _MOST_BYTES), 0o600)
        replace_file(target, text.encode("utf-8"), 0o600)
    except OSError as error:
        raise HettuiError(f"{path} cannot be written: {error.strerror}") from None
