"""Tries an API as a client of its own does: one small request, and whether an answer of that API comes back."""

from __future__ import annotations

import httpx

from hettui.adapters.llama import http_errors
from hettui.adapters.llama.http_reading import post
from hettui.domain.chat.agents import Tried, answered, trial
from hettui.domain.json_text import parse_json
from hettui.domain.llama.server_errors import http_reason

_MOST_BYTES = 1 << 20
_SECONDS = 300.0
"""A slow cluster reads the tools for a while."""


async def try_apis(
    url: str, key: str | None, model: str, apis: tuple[str, ...], transport: httpx.AsyncBaseTransport | None = None
) -> tuple[Tried, ...]:
    """One after another: a cluster has few slots."""
    headers = {"Accept-Encoding": "identity"}
    if key is not None:
        headers["Authorization"] = f"Bearer {key}"
    async with httpx.AsyncClient(
        base_url=url,
        headers=headers,
        transport=transport,
        timeout=httpx.Timeout(None, connect=5.0),
        follow_redirects=False,
        verify=http_errors.certificates(url),
        trust_env=False,
    ) as client:
        return tuple([await _tried(client, url, api, model) for api in apis])


async def _tried(client: httpx.AsyncClient, url: str, api: str, model: str) -> Tried:
    try:
        answer = await post(client, f"{url}{api}", trial(api, model), _MOST_BYTES, _SECONDS)
    except TimeoutError:
        return Tried(api, f"no answer within {_SECONDS:.0f} s")
    except httpx.HTTPError as error:
        return Tried(api, http_errors.sentence(error, url))
    if answer.status == httpx.codes.NOT_FOUND:
        return Tried(api, "this llama.cpp build does not have it: use a newer one")
    if answer.status != httpx.codes.OK:
        return Tried(api, http_reason(answer.status, answer.body))
    try:
        document = parse_json(answer.body)
    except ValueError:
        document = None
    return Tried(api) if answered(api, document) else Tried(api, "what came is no answer of this API")
