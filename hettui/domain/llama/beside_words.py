"""What is loaded beside the model as llama-server is told of it, in the words of the build at hand."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from hettui.domain.llama.options import flag
from hettui.domain.llama.params import RuntimeParams, scaled

_DEVICE_VARIABLE = "MTMD_BACKEND_DEVICE"
"""How older builds are told of the projector's device; newer ones read it before they know of any worker (b11434)."""


def beside_words(params: RuntimeParams, place: str, known: Collection[str]) -> tuple[list[str], Mapping[str, str]]:
    """Words, and variables of the environment. `place`: llama.cpp's name of the projector's device, or `none`.
    `known`: the build's long options.

    The place is always said: left out, it is the first device that llama.cpp knows, which is a worker where the master
    has no card (b10068, b11434).
    """
    words, told = list[str](), dict[str, str]()
    if params.mmproj:
        words += [flag("mmproj"), params.mmproj]
        if place == "none":
            words.append("--no-mmproj-offload")
        elif known and flag("mmproj-device") not in known:
            told[_DEVICE_VARIABLE] = place
        else:
            words += [flag("mmproj-device"), place]
    return words + _files("lora", params.lora) + _files("control-vector", params.control_vector), told


def _files(name: str, said: Sequence[str]) -> list[str]:
    """All with a scale where one has it, so that their order stays; llama-server cuts at the first colon."""
    if not said:
        return []
    parts = [scaled(one) for one in said]
    if not any(scale for _, scale in parts):
        return [flag(name), ",".join(file for file, _ in parts)]
    return [flag(f"{name}-scaled"), ",".join(f"{file}:{scale or 1}" for file, scale in parts)]
