"""Where the experts of a mixture-of-experts model lie: with their block, or in the master's RAM.

By device: of how many of its last blocks they lie in RAM. Said to llama.cpp by block (`--override-tensor`), since
`--n-cpu-moe` means the first blocks of the model, which may lie on a worker: each such block is handed over the
network twice for every token.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hettui.domain.plan.split import Split

EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
"""llama.cpp's own pattern of them (`LLM_FFN_EXPS_REGEX` of common/common.h, b10068 and b11434)."""


def blocks_away(split: Split, away: Sequence[int]) -> tuple[int, ...]:
    """The blocks whose experts lie in RAM. `away`: by device, of how many of its last blocks; missing ones are 0."""
    found: list[int] = []
    for device, count in enumerate(away[: len(split.layers)]):
        blocks = split.block_range(device)
        found += blocks[max(0, len(blocks) - count) :]
    return tuple(sorted(found))


def experts_here(split: Split, away: Sequence[int], device: int, mixtures: Collection[int]) -> tuple[int, int]:
    """Of how many of a device's blocks the experts lie there, and how many of them have any (`mixtures`)."""
    own = [block for block in split.block_range(device) if block in mixtures]
    gone = set(blocks_away(split, away))
    return sum(block not in gone for block in own), len(own)


def away_for(split: Split, device: int, here: int, mixtures: Collection[int]) -> int:
    """Of how many of the last blocks they leave, when of so many they shall lie there."""
    blocks = split.block_range(device)
    own = [block for block in blocks if block in mixtures]
    return 0 if here >= len(own) else blocks.stop - own[max(here, 0)]


def override(blocks: Sequence[int]) -> tuple[str, ...]:
    """As an `override-tensor` setting; empty for no blocks."""
    return (rf"blk\.({'|'.join(map(str, blocks))}){EXPERTS}=CPU",) if blocks else ()
