"""A llama-server that somebody else started, by its command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

_LONG = {
    "-m": "--model", "-ts": "--tensor-split", "-dev": "--device", "-ngl": "--gpu-layers",
    "--n-gpu-layers": "--gpu-layers",
    "-c": "--ctx-size", "-np": "--parallel", "-b": "--batch-size", "-ub": "--ubatch-size", "-fa": "--flash-attn",
    "-ctk": "--cache-type-k", "-ctv": "--cache-type-v", "-t": "--threads", "-sm": "--split-mode",
    "-ncmoe": "--n-cpu-moe", "-ot": "--override-tensor",
}  # fmt: skip
_PARAMS = (
    "--ctx-size", "--parallel", "--batch-size", "--ubatch-size", "--flash-attn", "--cache-type-k", "--cache-type-v",
    "--threads", "--split-mode", "--n-cpu-moe", "--override-tensor", "--gpu-layers", "--tensor-split",
)  # fmt: skip
_SECRET = ("--api-key", "--hf-token", "-hft")


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
    options: dict[str, str] = {}
    for word, following in zip(argv, [*argv[1:], ""], strict=True):
        name, separator, value = word.partition("=")
        if word.startswith("-"):
            options[_LONG.get(name, name)] = value if separator else following
    endpoints = tuple(_endpoint(e) for e in options.get("--rpc", "").split(",") if e)
    weights = [w for w in options.get("--tensor-split", "").replace("/", ",").split(",") if w]
    whole = tuple(int(w) for w in weights if w.isdigit())
    exact = len(whole) == len(weights) and str(sum(whole)) == options.get("--gpu-layers")
    return ForeignServer(
        options.get("--model"),
        tuple(d for d in options.get("--device", "").split(",") if d),
        endpoints,
        whole if exact else (),
        {name.removeprefix("--").replace("-", "_"): options[name] for name in _PARAMS if name in options},
    )


def without_secrets(argv: Sequence[str]) -> list[str]:
    """The command line for a report: keys in it are left out."""
    hidden = False
    words = []
    for word in argv:
        name = word.partition("=")[0]
        words.append("…" if hidden else f"{name}=…" if name in _SECRET and "=" in word else word)
        hidden = word in _SECRET
    return words


def _endpoint(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port) if port.isdigit() else 0
