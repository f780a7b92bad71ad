"""Where the experts of a mixture-of-experts model lie: with their block, or in the master's RAM.

By device: of how many of its last blocks they lie in RAM. Said to llama.cpp by block (`--override-tensor`), since
`--n-cpu-moe` means the first blocks of the model, which may lie on a worker: each such block is handed over the
network twice for every token.
"""

from __future__ import annotations

from collections.abc import Sequence

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


def override(blocks: Sequence[int]) -> tuple[str, ...]:
    """As an `override-tensor` setting; empty for no blocks."""
    return (rf"blk\.({'|'.join(map(str, blocks))}){EXPERTS}=CPU",) if blocks else ()
