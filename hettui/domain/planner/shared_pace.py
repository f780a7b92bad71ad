"""What a token takes with `split-mode = "tensor"`: every card reads its share at the same time, and twice in each block
they add up what they have.

The exchange is an assumption: nothing that hettui measures tells it from the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from hettui.domain.devices.device import Device
from hettui.domain.memory.tensor_shares import shares
from hettui.domain.memory.weights import model_buffers
from hettui.domain.memory.workload import Workload
from hettui.domain.model.weights import buffer_kind
from hettui.domain.plan.split import Split
from hettui.domain.speed.pace import Expected, below_s, pace, stage_doubt_s

EXCHANGES = 2
"""In each block: behind its attention and behind its feed-forward (`ggml_backend_meta_graph_compute` of b11434)."""
EXCHANGE_S = 30e-6
"""Assumed for two cards of one board. Two H200 (NVLink, b11434) took 27 µs: a token of an 8B model 3.83 ms
in place of 4.27, of a 1B one 1.51 in place of 1.26. By PCIe it was not measured."""
_EXCHANGE_DOUBT = 1.0


def promised_shared(workload: Workload, devices: Sequence[Device], split: Split) -> Expected | None:
    """One stream's time per token; None where a card's speed is not known, or the host computes a part."""
    shape, active = workload.shape, split.active
    apart = split.host_layers or workload.params.overrides
    if apart or not active or not any(shape.layer_reads) or not all(pace(devices[i]).known for i in active):
        return None
    kinds = tuple(buffer_kind(devices[i].backend) for i in active)
    given = shares(workload, tuple(split.layers[i] for i in active), kinds, 0)
    stages, doubts = dict[int, float](), dict[int, float]()
    for rank, i in enumerate(active):
        own, buffers = pace(devices[i]), model_buffers(workload, kinds[rank])
        whole = sum(buffers.blocks) + buffers.output
        part = given.weights[rank] / whole if whole else 0.0
        begins_s = own.seconds_per_layer * shape.layers
        reads_s = below_s(shape, own)[-1] - begins_s
        stages[i] = own.hop_s + begins_s + reads_s * part
        all_of_it_s = own.hop_s + begins_s + reads_s
        doubts[i] = stage_doubt_s(shape, devices[i], range(shape.layers)) * stages[i] / all_of_it_s
    slowest = max(stages, key=lambda i: stages[i])
    exchange_s = EXCHANGES * shape.blocks * EXCHANGE_S if len(active) > 1 else 0.0
    doubt_s = sqrt(doubts[slowest] ** 2 + (_EXCHANGE_DOUBT * exchange_s) ** 2)
    return Expected(stages[slowest] + exchange_s, doubt_s, stages, measured=False)
