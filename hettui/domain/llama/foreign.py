"""A llama-server that somebody else started, by its command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field

from hettui.domain.llama.options import memory_options, option_spelled, spoken
from hettui.domain.records import dataclass

_PARAMS = (
    *(one.name for one in memory_options() if one.kind != "boolean" and one.name != "load-mode"),
    "gpu-layers", "tensor-split",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ForeignServer:
    """What its options say."""

    model_path: str | None = None
    devices: tuple[str, ...] = ()
    """llama.cpp's names in device order; empty when it chose itself."""
    endpoints: tuple[tuple[str, int], ...] = ()
    """Hosts and ports of its workers: `RPC0` is the first."""
    split: tuple[int, ...] = ()
    """Layers by device, where whole counts that fill `--gpu-layers` were given."""
    params: dict[str, str] = field(default_factory=dict)


def read_argv(argv: Sequence[str]) -> ForeignServer:
    """Unknown options are passed over."""
    options = spoken(argv)
    endpoints = tuple(_endpoint(e) for e in options.get("rpc", "").split(",") if e)
    weights = [w for w in options.get("tensor-split", "").replace("/", ",").split(",") if w]
    whole = tuple(int(w) for w in weights if w.isdigit())
    exact = len(whole) == len(weights) and str(sum(whole)) == options.get("gpu-layers")
    return ForeignServer(
        options.get("model"),
        tuple(d for d in options.get("device", "").split(",") if d),
        endpoints,
        whole if exact else (),
        {name.replace("-", "_"): options[name] for name in _PARAMS if name in options},
    )


def without_secrets(argv: Sequence[str]) -> list[str]:
    """The command line for a report: keys in it are left out."""
    hidden = False
    words = []
    for word in argv:
        known = option_spelled(word)
        secret = known is not None and known.secret
        words.append("…" if hidden else f"{word.partition('=')[0]}=…" if secret and "=" in word else word)
        hidden = secret and "=" not in word
    return words


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port) if port.isdigit() else 0
