"""llama-server's slots over HTTP: what `/slots` says of one, and `?action=save` and `restore` (`--slot-save-path`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from hettui.adapters.llama import http_errors
from hettui.adapters.llama.http_reading import ERROR_BYTES, post
from hettui.domain.chat.stream import table, whole_of
from hettui.domain.chat.wire import Slot
from hettui.domain.errors import ConnectionLost, ServerError
from hettui.domain.json_text import parse_json
from hettui.domain.llama.server_errors import http_reason

if TYPE_CHECKING:
    import httpx

Action = Literal["save", "restore"]
_COUNTS: dict[Action, tuple[str, str]] = {"save": ("n_saved", "n_written"), "restore": ("n_restored", "n_read")}


async def act(
    client: httpx.AsyncClient, where: str, slot: int, action: Action, file: str, seconds: float
) -> tuple[int, int]:
    """Tokens and bytes that were written or read. Raises ServerError with the reason, ConnectionLost for a server that
    is silent for so long."""
    import httpx

    try:
        answer = await post(client, f"/slots/{slot}?action={action}", {"filename": file}, ERROR_BYTES, seconds)
    except TimeoutError:
        raise ConnectionLost(f"llama-server does not {action} slot {slot} within {seconds:.0f} s") from None
    except (httpx.HTTPError, RuntimeError) as error:
        raise ConnectionLost(http_errors.sentence(error, where)) from error
    if answer.status != 200:
        raise ServerError(http_reason(answer.status, answer.body))
    try:
        said = table(parse_json(answer.body))
    except ValueError:
        said = {}
    tokens, size_bytes = (whole_of(said, name) for name in _COUNTS[action])
    if tokens is None or tokens < 0 or size_bytes is None:
        raise ServerError(f"llama-server does not say what it has {action}d of slot {slot}")
    return tokens, size_bytes


def slot_of(slot: Mapping[str, object]) -> Slot:
    """One entry of `/slots`."""
    following = slot.get("next_token")
    token = table(following[0]) if isinstance(following, list) and following else table(following)
    left = whole_of(token, "n_remain")
    return Slot(
        slot.get("is_processing") is True,
        left if left is not None and left >= 0 else None,
        number=whole_of(slot, "id"),
        task=whole_of(slot, "id_task"),
        held_tokens=whole_of(slot, "n_prompt_tokens"),
        generated_tokens=whole_of(token, "n_decoded"),
    )
