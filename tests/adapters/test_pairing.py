"""What the driver sees and what llama.cpp sees, on machines that people have: each card is one device, and is planned
with no more than both of them say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.adapters.llama import discovery
from hettui.adapters.llama.binaries import EngineDevice, Listing, read_listing
from hettui.adapters.llama.engine_match import is_integrated, match
from hettui.domain.config.inventory import assemble
from hettui.domain.config.values import Config, DeviceConfig
from hettui.domain.devices.device import Device, Hardware
from hettui.domain.devices.found import Found
from hettui.domain.devices.identity import one_form
from hettui.domain.telemetry.bounds import believed_memory
from hettui.domain.units import GIB, MIB
from tests.fakes import ENGINE

MARGIN = 512 * MIB


@dataclass
class Lister:
    """A driver's cards."""

    cards: tuple[Hardware, ...] = ()
    problems: tuple[str, ...] = ()

    def list_cards(self) -> tuple[Hardware, ...]:
        return self.cards


def nvidia(place: int, name: str, total: int | None, free: int | None = None) -> Hardware:
    return Hardware(
        f"pci:0000:0{place}:00.0",
        f"NVIDIA {name}",
        "cuda",
        total_bytes=None if total is None else total * MIB,
        free_bytes=None if free is None else free * MIB,
        pci_address=f"0000:0{place}:00.0",
        uuid=f"GPU-{place}0000000-0000-0000-0000-000000000000",
    )


def amd(place: int, name: str, total: int | None, *, integrated: bool = False) -> Hardware:
    size = None if total is None else total * MIB
    return Hardware(
        f"pci:0000:0{place}:00.0",
        name,
        "rocm",
        total_bytes=size,
        free_bytes=size,
        pci_address=f"0000:0{place}:00.0",
        integrated=integrated,
    )


def look(
    monkeypatch: pytest.MonkeyPatch,
    said: str,
    *cards: Hardware,
    others: tuple[Hardware, ...] = (),
    problems: tuple[str, ...] = (),
    environ: Mapping[str, str] | None = None,
) -> Found:
    monkeypatch.setattr(discovery, "list_devices", lambda *_: read_listing(said))
    return discovery.discover(ENGINE, Lister(cards, problems), [Lister(others)], environ or {})


def used(found: Found) -> list[tuple[str, str, int | None]]:
    """Name in the engine, id, and budget in MiB of what is planned for when nobody says which."""
    return [
        (d.engine_name, d.id, d.budget_bytes and (d.budget_bytes + MARGIN) // MIB)
        for d in assemble(Config(), found.hardware)
    ]


def test_unified_memory_has_the_engines_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "  CUDA0: NVIDIA GB10 (122502 MiB, 116224 MiB free)\n"
    found = look(monkeypatch, said, nvidia(1, "GB10", None))
    assert used(found) == [("CUDA0", "pci:0000:01:00.0", 116224)]
    assert found.hardware[0].total_bytes == 122502 * MIB


def test_a_slice_is_a_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "  CUDA0: NVIDIA H100 80GB HBM3 MIG 1g.10gb (9856 MiB, 9788 MiB free)\n"
    # As the driver tells a card that is cut, and as one that hides that it is.
    for card in (nvidia(1, "H100 80GB HBM3", None), nvidia(1, "H100 80GB HBM3", 81559, 80925)):
        found = look(monkeypatch, said, card)
        assert used(found) == [("CUDA0", "pci:0000:01:00.0", 9788)]
        assert (found.hardware[0].name, found.hardware[0].total_bytes) == (
            "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
            9856 * MIB,
        )


def test_like_cards_of_a_vulkan_build_are_two_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "  Vulkan0: NVIDIA GeForce RTX 3090 (24576 MiB, 24568 MiB free)\n"
        "  Vulkan1: NVIDIA GeForce RTX 3090 (24576 MiB, 23376 MiB free)\n"
    )
    twins = [nvidia(n, "GeForce RTX 3090", 24576, free) for n, free in ((1, 23376), (2, 24568))]
    found = look(monkeypatch, said, *twins)
    assert used(found) == [("Vulkan1", "pci:0000:01:00.0", 23376), ("Vulkan0", "pci:0000:02:00.0", 24568)]


def test_names_come_before_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "  CUDA0: NVIDIA GeForce RTX 3090 (24126 MiB, 23800 MiB free)\n"
        "  CUDA1: NVIDIA GeForce GTX 1660 SUPER (5926 MiB, 5100 MiB free)\n"
    )
    cards = nvidia(1, "GeForce GTX 1660 SUPER", 6144, 5244), nvidia(4, "GeForce RTX 3090", 24576, 24276)
    assert used(look(monkeypatch, said, *cards)) == [
        ("CUDA1", "pci:0000:01:00.0", 5100),
        ("CUDA0", "pci:0000:04:00.0", 23800),
    ]


def test_an_address_or_a_uuid_settles_it(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = [nvidia(n, "GeForce RTX 3090", 24576, 24000) for n in (1, 2)]
    said = (
        "  Vulkan0: NVIDIA GeForce RTX 3090 (24576 MiB, 24000 MiB free) [0000:02:00.0]\n"
        "  Vulkan1: NVIDIA GeForce RTX 3090 (GPU-10000000-0000-0000-0000-000000000000) (24576 MiB, 24000 MiB free)\n"
    )
    found = look(monkeypatch, said, *twins)
    assert [h.engine_name for h in found.hardware] == ["Vulkan1", "Vulkan0", "CPU"]


@pytest.mark.parametrize("named", [True, False])
def test_a_processors_graphics_beside_a_card_is_left_out_unless_asked_for(
    named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = (
        "  ROCm0: AMD Radeon RX 9070 (16304 MiB, 15980 MiB free)\n"
        "  ROCm1: AMD Radeon 740M Graphics (15594 MiB, 15400 MiB free)\n"
    )
    card = amd(3, "AMD Radeon RX 9070" if named else "AMD GPU [1002:7550]", 16304)
    inside = amd(8, "AMD Radeon 740M Graphics" if named else "AMD GPU [1002:1900]", None, integrated=True)
    found = look(monkeypatch, said, others=(card, inside))
    assert used(found) == [("ROCm0", "pci:0000:03:00.0", 15980)]
    (asked,) = assemble(Config(devices=(DeviceConfig(name="inside", id="08:00.0"),)), found.hardware)
    assert (asked.engine_name, asked.missing) == ("ROCm1", None)
    alone = look(monkeypatch, said.splitlines()[1].replace("ROCm1", "ROCm0"), others=(inside,))
    assert used(alone) == [("ROCm0", "pci:0000:08:00.0", 15400)]


def test_what_only_the_engine_knows_may_be_a_processors_graphics(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "ggml_vulkan: 1 = Strange Thing (x) | uma: 1 | fp16: 1\n"
        "  Vulkan0: Some Card (8192 MiB, 8000 MiB free)\n"
        "  Vulkan1: Strange Thing (30000 MiB, 29000 MiB free)\n"
        "  Vulkan2: llvmpipe (LLVM 19.1.0, 256 bits) (64000 MiB, 64000 MiB free)\n"
    )
    assert [d[0] for d in used(look(monkeypatch, said))] == ["Vulkan0"]
    only = said.splitlines()[3]
    assert [d[0] for d in used(look(monkeypatch, only))] == ["Vulkan2"], "better than nothing"
    for name in ("AMD Radeon Graphics (RADV PHOENIX)", "Intel(R) UHD Graphics 770", "AMD Radeon Vega 8 Graphics"):
        assert is_integrated(EngineDevice("Vulkan0", name, GIB, GIB))
    for name in ("AMD Radeon RX 7600", "Intel(R) Arc(tm) A770 Graphics (DG2)", "NVIDIA GeForce RTX 3060"):
        assert not is_integrated(EngineDevice("Vulkan0", name, GIB, GIB))
    assert not is_integrated(EngineDevice("Vulkan0", "NVIDIA GB10", GIB, GIB, shared_memory=True))


def test_free_above_all_of_it_is_bounded_and_nonsense_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    said = (
        "  Vulkan0: A Card (37068 MiB, 47880 MiB free)\n"
        "  Vulkan1: Some Other Card (8192 MiB, 17592186044415 MiB free)\n"
        "  Vulkan2: No Size (0 MiB, 0 MiB free)\n"
        "  Vulkan3: Below (8192 MiB, -7 MiB free)\n"
    )
    found = look(monkeypatch, said)
    assert [(h.total_bytes, h.free_bytes) for h in found.hardware[:3]] == [
        (37068 * MIB, 37068 * MIB),
        (8192 * MIB, None),
        (None, None),
    ]
    assert [budget for _, _, budget in used(found)] == [37068, 8192, None, 8192]


TWO = (nvidia(1, "GeForce GTX 1660 SUPER", 6144, 5244), nvidia(4, "GeForce RTX 3090", 24576, 24276))
BIG = "  CUDA0: NVIDIA GeForce RTX 3090 (24126 MiB, 23800 MiB free)\n"


@pytest.mark.parametrize(
    "environ",
    [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "1", "CUDA_DEVICE_ORDER": "PCI_BUS_ID"},
        {"CUDA_VISIBLE_DEVICES": "GPU-40000000-0000-0000-0000-000000000000"},
        {"CUDA_VISIBLE_DEVICES": "GPU-4000"},
    ],
)
def test_a_card_that_the_environment_hides_is_named_as_hidden(
    environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = look(monkeypatch, BIG, *TWO, environ=environ)
    hidden, seen, _ = found.hardware
    assert (seen.engine_name, hidden.engine_name) == ("CUDA0", None)
    assert "hidden by CUDA_VISIBLE_DEVICES" in (hidden.trouble or "")
    assert used(found) == [("", hidden.id, 0), ("CUDA0", seen.id, 23800)]


def test_of_hidden_twins_the_right_one_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = [nvidia(n, "GeForce RTX 3090", 24576, 24000) for n in (1, 2)]
    both = BIG + "  Vulkan0: NVIDIA GeForce RTX 3090 (24576 MiB, 24000 MiB free)\n"
    found = look(monkeypatch, both, *twins, environ={"CUDA_VISIBLE_DEVICES": "1"})
    assert [h.engine_name for h in found.hardware] == [None, "CUDA0", "CPU"], "nor is it reached by another way"


def test_hidden_among_unlike_cards_the_numbers_count_where_the_names_bear_them_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cards = [nvidia(n, "GeForce RTX 3090", 24576, 24000) for n in (1, 2)] + [nvidia(3, "GeForce GTX 1660", 6144, 6000)]
    said = BIG + "  CUDA1: NVIDIA GeForce GTX 1660 (6144 MiB, 6000 MiB free)\n"
    found = look(monkeypatch, said, *cards, environ={"CUDA_VISIBLE_DEVICES": "1,2"})
    assert [h.engine_name for h in found.hardware] == [None, "CUDA0", "CUDA1", "CPU"]
    found = look(monkeypatch, BIG, *cards)
    assert [h.engine_name for h in found.hardware] == [None, None, None, "CUDA0", "CPU"]
    assert all("it may be CUDA0" in (h.trouble or "") for h in found.hardware[:2])
    assert [budget for name, _, budget in used(found) if name] == [23800]


def test_amds_own_variable_hides_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    twins = (amd(3, "AMD Radeon RX 9070", 16304), amd(4, "AMD Radeon RX 9070", 16304))
    said = "  ROCm0: AMD Radeon RX 9070 (16304 MiB, 15980 MiB free)\n"
    found = look(monkeypatch, said, others=twins, environ={"HIP_VISIBLE_DEVICES": "1"})
    assert [h.engine_name for h in found.hardware] == [None, "ROCm0", "CPU"]
    assert "hidden by HIP_VISIBLE_DEVICES=1" in (found.hardware[0].trouble or "")


def test_a_slice_that_the_environment_names_is_started_by_that_name(monkeypatch: pytest.MonkeyPatch) -> None:
    slice_uuid = "MIG-11111111-2222-3333-4444-555555555555"
    said = "  CUDA0: NVIDIA H100 80GB HBM3 MIG 1g.10gb (9856 MiB, 9788 MiB free)\n"
    whole = replace(nvidia(1, "H100 80GB HBM3", None), uuid=None)
    found = look(monkeypatch, said, whole, environ={"CUDA_VISIBLE_DEVICES": slice_uuid})
    assert found.hardware[0].uuid == slice_uuid


def test_a_card_that_the_build_cannot_drive_says_so_and_gets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    found = look(monkeypatch, BIG, *TWO)
    assert used(found) == [("", "pci:0000:01:00.0", 0), ("CUDA0", "pci:0000:04:00.0", 23800)]
    assert "no backend for it" in (found.hardware[0].trouble or "")
    failed = "ggml_cuda_init: failed to initialize CUDA: unknown error\nAvailable devices:\n"
    found = look(monkeypatch, failed, *TWO)
    assert all("unknown error" in (h.trouble or "") for h in found.hardware[:2])
    assert found.problems == ()


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("system has unsupported display driver / cuda driver combination", "reboot"),
        ("CUDA driver version is insufficient for CUDA runtime version", "update the driver"),
        ("initialization error", "dmesg"),
    ],
)
def test_a_backend_that_does_not_start_is_told_once(reason: str, remedy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    said = f"ggml_cuda_init: failed to initialize CUDA: {reason}\nAvailable devices:\n"
    (problem,) = look(monkeypatch, said).problems
    assert reason in problem
    assert remedy in problem
    assert look(monkeypatch, said, problems=("the driver says no",)).problems == ("the driver says no",)


def test_a_build_with_cuda_on_a_machine_without_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "ggml_cuda_init: failed to initialize CUDA: no CUDA-capable device is detected\nAvailable devices:\n"
    assert look(monkeypatch, said).problems == ()


def test_two_backends_entries_without_a_driver_are_one_card(monkeypatch: pytest.MonkeyPatch) -> None:
    said = BIG + "  Vulkan0: NVIDIA GeForce RTX 3090 (24576 MiB, 24000 MiB free)\n"
    assert [d[0] for d in used(look(monkeypatch, said))] == ["CUDA0"]


# -- any driver, any list ----------------------------------------------------------------------------------

SIZES = st.none() | st.sampled_from([0, 512, 6144, 8192, 24126, 24576, 81559, 1 << 44]) | st.integers(0, 1 << 44)
NAMES = st.sampled_from(["GeForce RTX 3090", "GeForce RTX 4060", "GeForce RTX 4060 Ti", "GPU", "H100 80GB HBM3"])
AMD_NAMES = st.sampled_from(["AMD Radeon RX 9070", "AMD Radeon 740M Graphics", "AMD GPU [1002:7550]", ""])


@st.composite
def driver_cards(draw: st.DrawFn) -> tuple[tuple[Hardware, ...], tuple[Hardware, ...]]:
    def memory() -> tuple[int | None, int | None]:
        total, free = draw(SIZES), draw(SIZES)
        return believed_memory(total and total * MIB, free and free * MIB)

    found = []
    for _ in range(draw(st.integers(0, 4))):
        card = nvidia(draw(st.integers(1, 3)), draw(NAMES), None)
        total, free = memory()
        found.append(replace(card, total_bytes=total, free_bytes=free, uuid=draw(st.sampled_from([card.uuid, None]))))
    others = []
    for n in range(draw(st.integers(0, 3))):
        total, free = memory()
        card = amd(5 + n, draw(AMD_NAMES), None, integrated=draw(st.booleans()))
        others.append(replace(card, total_bytes=total, free_bytes=free))
    return tuple(found), tuple(others)


DESCRIPTIONS = st.sampled_from(
    ["NVIDIA GeForce RTX 3090", "NVIDIA GeForce RTX 4060 Ti", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "AMD Radeon RX 9070",
     "AMD Radeon Graphics (RADV GFX1201)", "AMD Radeon 740M Graphics", "llvmpipe", "\x1b[31modd", ""]
)  # fmt: skip
LINES = st.builds(
    "  {}{}: {} ({} MiB, {} MiB free)\n".format,
    st.sampled_from(["CUDA", "ROCm", "Vulkan", "SYCL"]),
    st.integers(0, 3),
    DESCRIPTIONS,
    st.integers(0, 1 << 20) | st.just(1 << 44),
    st.integers(0, 1 << 20) | st.just(1 << 44),
)
ENVIRONS = st.sampled_from(
    [{}, {"CUDA_VISIBLE_DEVICES": "1"}, {"CUDA_VISIBLE_DEVICES": ""}, {"CUDA_VISIBLE_DEVICES": "0,1"}]
)


def least(sizes: list[int | None]) -> int | None:
    return min((size for size in sizes if size is not None), default=None)


@given(driver_cards(), st.lists(LINES, max_size=6).map("".join), ENVIRONS)
def test_never_more_than_either_says_and_never_two_with_one_id(
    cards: tuple[tuple[Hardware, ...], tuple[Hardware, ...]], said: str, environ: dict[str, str]
) -> None:
    listing = read_listing(said)
    with pytest.MonkeyPatch.context() as patch:
        found = look(patch, said, *cards[0], others=cards[1], environ=environ)
    devices = assemble(Config(), found.hardware)
    ids = [one_form(h.id) or h.id for h in found.hardware]
    assert len(set(ids)) == len(ids)
    engine_names = [h.engine_name for h in found.hardware if h.engine_name]
    assert len(set(engine_names)) == len(engine_names)
    listed = {d.name: d for d in listing.devices}
    # In the order of `discover`: what a driver told stands first.
    told = dict(zip(ids, (*cards[0], *cards[1]), strict=False))
    for device in devices:
        _bounded(device, listed, told)


def _bounded(device: Device, listed: Mapping[str, EngineDevice], told: Mapping[str, Hardware]) -> None:
    entry, card = listed.get(device.engine_name), told.get(one_form(device.id) or device.id)
    if entry is None:
        assert device.missing
        assert device.budget_bytes == 0, "llama.cpp gives nothing of it"
        return
    limits = [entry.total_bytes, entry.free_bytes]
    limits += [] if card is None else [card.free_bytes]
    limit = least(limits)
    if limit is None:
        return
    assert device.budget_bytes is not None
    assert device.budget_bytes <= max(0, limit - MARGIN)


@given(st.lists(LINES, max_size=6).map("".join))
def test_every_entry_is_one_card_or_stands_for_itself(said: str) -> None:
    listing: Listing = read_listing(said)
    cards, rest = match([nvidia(1, "GeForce RTX 3090", 24576, 24000)], listing.devices)
    names = [c.engine_name for c in cards if c.engine_name] + [d.name for d in rest]
    assert len(set(names)) == len(names)
    assert set(names) <= {d.name for d in listing.devices}
