"""What the far side says while it starts a worker."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.adapters.hosts.worker_log import say
from hettui.domain.errors import HostError
from hettui.domain.text import clean_line


class Missing(HostError):
    """There is no rpc server there."""


def complain(host: str, words: Sequence[str]) -> None:
    """Raises HostError for what ends the start, and says what does not. Nothing for words that mean nothing."""
    host, said = clean_line(host, 60), clean_line(" ".join(words[1:]), 200)
    match words[0]:
        case "missing":
            raise Missing(
                f"{host} has neither ggml-rpc-server nor rpc-server in {said} (127: not found); name the folder of "
                "its llama.cpp as bin in [[hosts]], or bring that of this machine there: hettui hosts push --host "
                f"{host}",
                hopeless=True,
            )
        case "taken":
            raise HostError(f"port {said} is in use on {host}; choose another port for it, or stop what holds it")
        case "problem":
            raise HostError(f"{host}: {said}; free it, or name another home for its user")
        case "unkept":
            say(
                f"weights are not kept on {host}: {said} MiB, and 2 GiB to spare, are not free where its cache lies: "
                "they travel again at the next start"
            )
