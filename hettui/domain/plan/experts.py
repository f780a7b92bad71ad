"""Where a block's movable part lies, its experts or its dense FFN: with the block, or in the master's RAM.

By device: of how many of its last blocks it lies in RAM. Said to llama.cpp by block (`--override-tensor`), since
`--n-cpu-moe` and `--n-cpu-ffn` mean the first blocks of the model, which may lie on a worker: each such block is handed
over the network twice for every token.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hettui.domain.model.movable import PATTERNS, Movable
from hettui.domain.plan.split import Split


def blocks_away(split: Split, away: Sequence[int]) -> tuple[int, ...]:
    """The blocks whose part lies in RAM. `away`: by device, of how many of its last blocks; missing ones are 0."""
    found: list[int] = []
    for device, count in enumerate(away[: len(split.layers)]):
        blocks = split.block_range(device)
        found += blocks[max(0, len(blocks) - count) :]
    return tuple(sorted(found))


def parts_here(split: Split, away: Sequence[int], device: int, movable: Collection[int]) -> tuple[int, int]:
    """Of how many of a device's blocks the movable part lies there, and how many of them have any (`movable`)."""
    own = [block for block in split.block_range(device) if block in movable]
    gone = set(blocks_away(split, away))
    return sum(block not in gone for block in own), len(own)


def away_for(split: Split, device: int, here: int, movable: Collection[int]) -> int:
    """Of how many of the last blocks it leaves, when of so many it shall lie there."""
    blocks = split.block_range(device)
    own = [block for block in blocks if block in movable]
    return 0 if here >= len(own) else blocks.stop - own[max(here, 0)]


def override(blocks: Sequence[int], moves: Movable) -> tuple[str, ...]:
    """As an `override-tensor` setting; empty for no blocks."""
    return (rf"blk\.({'|'.join(map(str, blocks))}){PATTERNS[moves]}=CPU",) if blocks else ()
