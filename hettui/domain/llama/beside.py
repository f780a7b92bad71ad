"""What is said to llama-server besides the settings, as far as memory and speed depend on it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from hettui.domain.llama.options import allocations, option_spelled

_ONLY_HOST_MEMORY = frozenset({"ctx-checkpoints", "cache-ram"})
"""A token takes as long with them as without."""


def mark(extra_args: Sequence[str]) -> str:
    """Equal for what reserves the same; empty when nothing there reserves anything.

    A word that is not known may reserve, too. Short and of no use to whoever reads it: values may be secret.
    """
    telling = [word for word in _words(extra_args) if not _harmless(word)]
    return hashlib.sha256("\0".join(telling).encode()).hexdigest()[:16] if telling else ""


def changes_speed(extra_args: Sequence[str]) -> bool:
    """Something there changes what a token takes: another model beside it, or the host computing a part."""
    for one in allocations(extra_args):
        known = option_spelled(one.spelling)
        if known is None or known.name not in _ONLY_HOST_MEMORY:
            return True
    return False


def offloads_operations(extra_args: Sequence[str]) -> bool:
    """An attached card computes large batches of what the host holds: llama-server's default."""
    last = True
    for word in extra_args:
        if word in ("--no-op-offload", "--op-offload"):
            last = word == "--op-offload"
    return last


def _words(extra_args: Sequence[str]) -> list[str]:
    """An option with its value is one word."""
    found: list[str] = []
    for word in extra_args:
        if word.startswith("-") and not word[1:2].isdigit():
            found.append(word)
        elif found:
            found[-1] += f"={word}"
    return found


def _harmless(word: str) -> bool:
    known = option_spelled(word)
    return known is not None and not known.allocates and known.name != "no-op-offload"
