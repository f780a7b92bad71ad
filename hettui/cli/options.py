"""What options say, checked and typed. Raises UsageError in the option's own words."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from typing import Any

from hettui.domain.errors import UsageError
from hettui.domain.llama.params import override_pattern
from hettui.domain.units import parse_bytes


def overridden(params: Any, options: Namespace) -> Any:
    """llama.cpp's settings with what the command line says."""
    names = (
        "ctx_size",
        "kv_unified",
        "batch_size",
        "ubatch_size",
        "cache_type_k",
        "cache_type_v",
        "flash_attn",
        "swa_full",
        "load_mode",
        "n_cpu_moe",
    )
    said = {name: value for name in names if (value := getattr(options, name, None)) is not None}
    if (overrides := getattr(options, "override_tensor", None)) is not None:
        said["override_tensor"] = _overrides(overrides)
    parallel = getattr(options, "parallel", None)
    if parallel is not None:
        said["parallel"] = _parallel(parallel)
    for name, least in (("ctx_size", 0), ("n_cpu_moe", 0), ("batch_size", 1), ("ubatch_size", 1)):
        if name in said and said[name] < least:
            option = name.replace("_", "-")
            raise UsageError(f"--{option} {said[name]}: it must be a whole number of at least {least}")
    return replace(params, **said)


_BUILD_DIGITS = 6


def build_number(text: str | None) -> int | None:
    if text is None:
        return None
    number = text.removeprefix("b")
    if not number.isdigit() or len(number) > _BUILD_DIGITS:
        raise UsageError(f"--llama-build {text}: it must be a build number such as b11434")
    return int(number)


def _overrides(text: str) -> tuple[str, ...]:
    for one in text.split(","):
        try:
            override_pattern(one)
        except ValueError as error:
            raise UsageError(f"--override-tensor {one}: it {error}") from None
    return tuple(text.split(","))


def _parallel(text: str) -> int:
    if text == "auto" or text == "-1":
        return -1
    if not text.isdigit() or int(text) < 1:
        raise UsageError(f'--parallel {text}: it must be "auto" or a whole number of at least 1')
    return int(text)


def device_budgets(text: str | None) -> list[tuple[str, int]] | None:
    if text is None:
        return None
    devices: list[tuple[str, int]] = []
    for part in text.split(","):
        name, separator, budget = part.rpartition("=")
        try:
            size = parse_bytes(budget)
        except ValueError as error:
            raise UsageError(f"--devices {part}: {error}") from error
        if not separator or not name.strip():
            raise UsageError(f"--devices {part}: it must be NAME=BUDGET, such as big=16GiB")
        if name.strip() in (known for known, _ in devices):
            raise UsageError(f"--devices names {name.strip()} twice")
        devices.append((name.strip(), size))
    return devices


def weights(text: str | None) -> list[float] | None:
    if text is None:
        return None
    try:
        weights = [float(part) for part in text.replace("/", ",").split(",")]
    except ValueError:
        raise UsageError(f"--split {text}: it must be numbers such as 16,10,5") from None
    if not all(0 <= w < float("inf") for w in weights) or not any(weights):
        raise UsageError(f"--split {text}: weights are at least 0 and one is above 0")
    return weights
