"""Every check on scripted machines: the rig that is well, one thing wrong at a time, and one that tells nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from hettui.domain.doctor.checks import BY_ID, CHECKS, before_a_start, examined
from hettui.domain.doctor.facts import NVIDIA, BusCard, CudaCode, FarHost, KernelFacts, ListenerFacts
from hettui.domain.doctor.far import facts_of_host
from hettui.domain.doctor.finding import Finding, by_urgency, worst
from hettui.domain.doctor.generations import (
    GENERATIONS,
    architectures,
    branch,
    capability_by_name,
    capability_of,
    generation_of,
    least_driver,
    runs_on,
    together,
)
from hettui.domain.doctor.report import findings_json, findings_text
from hettui.domain.hosts.facts import HostFacts
from hettui.domain.telemetry.readings import Link
from hettui.domain.units import GIB
from tests.doctor_facts import BUS, CARDS, ENGINE, NOTHING, SEED, WRONG, with_bus, with_card
from tests.hostile import HOSTILE

FAULTS = {
    "cards.bus", "cards.engine", "cards.refused", "driver.versions", "driver.branch", "engine.found", "engine.cuda",
    "engine.architectures", "engine.faults", "power.supply", "memory.ulimit", "network.rpc", "network.hosts",
    "network.builds", "config.file", "config.model", "config.keys", "config.extra-args", "config.room",
}  # fmt: skip
WARNINGS = {"driver.log", "link.width", "power.heat", "memory.pressure", "memory.disk", "config.exposure"}


def found(id: str, facts: object) -> list[Finding]:
    return list(BY_ID[id].look(facts))  # type: ignore[arg-type]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.id)
def test_each_check_on_the_rig_that_is_well_on_one_with_its_fault_and_on_one_that_tells_nothing(check: object) -> None:
    id = check.id  # type: ignore[attr-defined]
    well, wrong, nothing = (found(id, facts) for facts in (SEED, WRONG[id], NOTHING))
    assert {one.id for one in (*well, *wrong, *nothing)} == {id}
    assert worst(well) in ("good", "note")
    assert worst(wrong) == ("fault" if id in FAULTS else "warning" if id in WARNINGS else "note")
    # Unknown is said to be so, never taken for well.
    assert nothing
    assert all(one.severity in ("unchecked", "good") or id in ("engine.found",) for one in nothing)
    for one in wrong:
        assert not one.words.endswith(".")
        if one.severity == "fault":
            assert one.remedy or one.command or id in _REMEDY_IN_WORDS


_REMEDY_IN_WORDS = {"cards.refused", "engine.found", "engine.faults", "config.file", "config.room"}
"""Sentences of others, which end with the remedy."""


def test_every_check_has_a_scripted_fault_and_the_other_way_round() -> None:
    assert set(WRONG) == set(BY_ID)
    assert len(BY_ID) == len(CHECKS)


def test_the_rig_that_is_well_has_no_fault_and_no_warning() -> None:
    assert [one for one in examined(SEED) if one.matters] == []


def test_a_machine_that_tells_nothing_is_all_unchecked_and_no_fault_but_the_missing_engine() -> None:
    assert [one.id for one in examined(NOTHING) if one.matters] == ["engine.found"]


# -- one driver, one build ---------------------------------------------------------------------------------


def test_the_seed_rigs_driver_and_build() -> None:
    (driver,) = found("driver.branch", SEED)
    assert "570 or newer, with the open kernel module, serves all" in driver.words
    assert any("GTX 1660 SUPER: Turing, compute capability 7.5" in text for text in driver.evidence)
    (build,) = found("engine.cuda", SEED)
    assert "CUDA 12.8 or newer" in build.words
    assert '--architectures "75;86;120"' in build.command


@pytest.mark.parametrize(
    ("capabilities", "driver", "cuda", "kind"),
    [
        (["8.6"], "455 or newer", "11.1 or newer", "may"),
        (["6.1", "8.6"], "455 to 580", "11.1 to 12.9", "never"),
        (["6.1", "7.5", "8.9"], "520 to 580", "11.8 to 12.9", "never"),
        (["3.7", "6.1"], "367 to 470", "8.0 to 11.8", "never"),
        (["7.5", "8.6", "12.0"], "570 or newer", "12.8 or newer", "must"),
    ],
)
def test_what_serves_cards_together(capabilities: list[str], driver: str, cuda: str, kind: str) -> None:
    whole = together(row for c in capabilities if (row := generation_of(capability_of(c))))
    assert whole is not None
    assert (whole.driver_words, whole.cuda_words, whole.open_module) == (driver, cuda, kind)
    assert whole.driver
    assert whole.cuda


def test_pascal_beside_blackwell_has_no_driver_and_kepler_beside_ada_neither() -> None:
    pascal = with_card(0, compute_capability="6.1", name="NVIDIA GeForce GTX 1080")
    told = found("driver.branch", pascal)
    assert told[0].severity == "fault"
    assert "RTX 5080 needs the open kernel module, which NVIDIA GeForce GTX 1080 cannot have" in told[0].words
    kepler = with_card(0, replace(SEED, cards=CARDS[:2], bus=BUS[:2]), compute_capability="3.7", name="Tesla K80")
    (told_too, *_) = found("driver.branch", with_card(1, kepler, compute_capability="8.9", name="RTX 4090"))
    assert "RTX 4090 needs 520 or newer, and Tesla K80 ends with 470" in told_too.words
    assert "no CUDA release compiles" not in " ".join(one.words for one in found("engine.cuda", kepler))


@pytest.mark.parametrize(
    ("driver", "is_open", "says"),
    [
        ("565.77", True, "driver 565 leaves out NVIDIA GeForce RTX 5080: Blackwell begins with 570"),
        ("580.95.05", False, "Blackwell needs the open kernel module, and the proprietary one is loaded"),
    ],
)
def test_the_card_that_the_driver_here_leaves_out_is_named(driver: str, is_open: bool, says: str) -> None:
    facts = replace(SEED, nvidia=replace(SEED.nvidia, module=driver, library=driver, open_module=is_open))
    (left_out, *_) = found("driver.branch", facts)
    assert says in left_out.words
    assert left_out.severity == "fault"
    assert "NVIDIA GeForce RTX 5080" in left_out.subject


def test_pascal_under_a_driver_that_is_too_new_and_a_build_with_cuda_13() -> None:
    old = replace(SEED, cards=(with_card(1, compute_capability="6.1").cards[1],), bus=BUS[1:2])
    new = replace(old, nvidia=replace(old.nvidia, module="590.48.01", library="590.48.01", open_module=None))
    assert "Pascal ends with 580" in found("driver.branch", new)[0].words
    assert any("CUDA 13, which leaves out" in one.words for one in found("engine.cuda", old))


def test_cards_without_a_driver_count_by_their_names() -> None:
    without = replace(SEED, cards=(), bus=(replace(BUS[2], driver=None),))
    assert found("driver.branch", without)[0].severity == "good"
    (missing,) = found("cards.bus", without)
    assert "no driver has it; it is a Blackwell card: driver 570 or newer" in missing.words
    assert missing.command == "sudo modprobe nvidia"


@pytest.mark.parametrize(
    ("code", "capability", "ptx", "runs"),
    [
        ((8, 0), (8, 6), False, True),
        ((8, 6), (8, 0), False, False),
        ((8, 6), (9, 0), False, False),
        ((8, 6), (12, 0), True, True),
        ((9, 0), (8, 6), True, False),
    ],
)
def test_which_code_runs_where(code: tuple[int, int], capability: tuple[int, int], ptx: bool, runs: bool) -> None:
    assert runs_on(code, ptx=ptx, capability=capability) is runs


def test_code_that_is_compiled_at_the_first_start_is_a_note() -> None:
    facts = replace(SEED, engine=replace(ENGINE, code=(CudaCode((7, 5), True),)))
    told = found("engine.architectures", facts)
    assert [one.severity for one in told] == ["note", "note", "note", "good"]
    assert "7.5 (PTX)" in told[-1].words


def test_the_table_of_generations_is_sound() -> None:
    assert [one.capability for one in GENERATIONS] == sorted(one.capability for one in GENERATIONS)
    for one in GENERATIONS:
        assert one.last_driver is None or one.first_driver < one.last_driver
        assert one.last_cuda is None or one.first_cuda < one.last_cuda
        assert (one.last_driver is None) == (one.last_cuda is None)
        least = least_driver(one.first_cuda[0])
        assert least is None or one.first_driver >= least
    assert generation_of((8, 7)) is generation_of((8, 6))
    assert generation_of((13, 0)) is None
    assert generation_of(None) is None
    assert architectures([(12, 0), (7, 5), (7, 5)]) == "75;120"
    assert (branch("580.95.05"), branch("x"), branch(None)) == (580, None, None)
    assert capability_of("8.6.1") is None


@pytest.mark.parametrize(
    ("name", "capability"),
    [
        ("NVIDIA GeForce RTX 5080", (12, 0)), ("NVIDIA GeForce RTX 3060", (8, 6)), ("GTX 1660 SUPER", (7, 5)),
        ("NVIDIA H200", (9, 0)), ("Tesla P40", (6, 1)), ("Tesla V100-SXM2-16GB", (7, 0)),
        ("NVIDIA A100-PCIE-40GB", (8, 0)),
        ("NVIDIA GeForce RTX 4090", (8, 9)), ("Radeon RX 7900 XTX", None), ("Tesla T4", (7, 5)), ("NVIDIA A10", (8, 6)),
        ("NVIDIA RTX PRO 6000 Blackwell", (12, 0)), ("Quadro RTX 6000", (7, 5)), ("NVIDIA GeForce GTX 980 Ti", (5, 2)),
    ],
)  # fmt: skip
def test_capabilities_by_name(name: str, capability: tuple[int, int] | None) -> None:
    assert capability_by_name(name) == capability


# -- the rest ----------------------------------------------------------------------------------------------


def test_the_bus_says_what_stands_in_the_way() -> None:
    (vfio, _) = found("cards.bus", with_bus(2, driver="vfio-pci"))
    assert vfio.severity == "note"
    (lost, _) = found("cards.bus", replace(SEED, cards=CARDS[:2]))
    assert "has it, but does not show it" in lost.words
    (asleep,) = found("cards.bus", replace(with_bus(2, asleep=True), cards=CARDS[:2]))
    assert asleep.severity == "good"
    other = BusCard("0000:01:00.0", 0x1A03, "ASPEED", None)
    assert found("cards.bus", replace(SEED, bus=(*BUS, other)))[0].severity == "good"
    assert found("cards.bus", replace(SEED, kernel=KernelFacts(wsl=True)))[0].severity == "unchecked"
    assert found("cards.bus", replace(SEED, bus=(), cards=()))[0].severity == "note"
    assert BUS[0].vendor == NVIDIA


def test_a_power_supply_that_is_too_small_comes_with_caps_that_fit() -> None:
    (small, *peak) = found("power.supply", WRONG["power.supply"])
    # 655 W of cards and 240 W of the rest are more than 850 W.
    assert "895 W, more than the supply's 850 W" in small.words
    caps = [int(part.rsplit(" ", 1)[1]) for part in small.command.split(" && ")]
    assert sum(caps) <= 850 / 1.3 - 240 + 3
    assert "nvidia-smi -i 0000:65:00.0 -pl" in small.command
    assert peak[0].severity == "note"
    (tight, *_) = found("power.supply", replace(SEED, config=replace(SEED.config, psu_w=1000.0)))
    assert tight.severity == "warning"
    (unsaid,) = found("power.supply", replace(SEED, config=replace(SEED.config, psu_w=None)))
    assert "a supply of 1164 W carries them" in unsaid.words
    assert "[machine] psu" in unsaid.remedy
    (assumed, *_) = found("power.supply", replace(SEED, cpu_limit_w=None))
    assert any("assumed: 150 W for the CPU" in text for text in assumed.evidence)
    capped = with_card(2, sample={"power_limit_w": 200.0})
    assert "735 W" in found("power.supply", capped)[0].words


def test_links_under_load_count_and_idle_ones_do_not() -> None:
    slow = {"link_now": Link(1, 16), "link_max": Link(3, 16)}
    assert worst(found("link.width", with_card(2, sample=slow))) == "note"
    busy = with_card(2, sample={**slow, "utilisation_percent": 80})
    assert "though gen3 x16 is possible, under load" in found("link.width", busy)[1].words
    notes = found("link.slot", SEED)
    assert sum("behind the chipset" in one.words for one in notes) == 1
    (less,) = [one for one in notes if "slots give less" in one.words]
    assert "NVIDIA GeForce GTX 1660 SUPER gen3 x4 of gen3 x16" in less.words
    assert "NVIDIA GeForce RTX 5080 gen3 x16 of gen5 x16" in less.words
    large = replace(SEED, bus=tuple(replace(one, largest_bar_bytes=16 * GIB) for one in BUS))
    assert found("link.rebar", large)[0].severity == "good"


def test_listeners_of_others_are_warned_of_by_port_and_loopback_is_fine() -> None:
    (foreign,) = found("network.rpc", replace(SEED, listeners=(ListenerFacts("::", 50052),)))
    assert foreign.severity == "warning"
    mapped = ListenerFacts("::ffff:127.0.0.1", 50052, "rpc-server", 1)
    assert found("network.rpc", replace(SEED, listeners=(mapped,)))[0].severity == "good"
    (lan,) = found("network.rpc", replace(SEED, listeners=(ListenerFacts("192.168.0.2", 6000, "rpc-server", 1),)))
    assert "port 6000 of 192.168.0.2" in lan.words


def test_a_hosts_own_facts_are_asked_the_same() -> None:
    facts = facts_of_host(HostFacts("attic", server="/bin/rpc-server", version="11434 (x)", total_bytes=8 * GIB), "a")
    told = list(examined(facts))
    assert worst(told) == "good"
    bare = facts_of_host(HostFacts("attic", looked="PATH"))
    assert {one.id for one in examined(bare) if one.severity == "fault"} == {"engine.found", "network.hosts"}


def test_before_a_start_only_what_could_stop_it_is_told() -> None:
    assert before_a_start(SEED) == []
    assert [one.id for one in before_a_start(WRONG["driver.versions"])] == ["driver.versions"]
    assert before_a_start(WRONG["link.width"]) == []


def test_the_page_and_the_document() -> None:
    told = list(examined(WRONG["driver.versions"]))
    text = findings_text("local", told)
    assert text.startswith("local: 1 fault, ")
    assert text.index("✗ driver.versions") < text.index("✓")
    assert "$ sudo reboot" in text
    assert all(len(line) <= 100 for line in text.splitlines() if "$ " not in line)
    short = findings_text("local", told, everything=False)
    assert len(short.splitlines()) < len(text.splitlines())
    document = json.loads(json.dumps(findings_json("local", told)))
    assert document["counts"]["fault"] == 1
    assert {"id", "severity", "words", "evidence", "remedy", "command", "subject", "fix"} == set(
        document["findings"][0]
    )
    keys = findings_json("local", found("config.keys", WRONG["config.keys"]))
    assert keys["findings"][0]["fix"] == "chmod 600 /home/me/keys"  # type: ignore[index]


@pytest.mark.parametrize("hostile", [text for text, _ in HOSTILE.values()], ids=list(HOSTILE))
def test_what_others_wrote_reaches_no_terminal_raw(hostile: str) -> None:
    odd = with_card(1, trouble=hostile, name=hostile, engine_name=None)
    hosts = (FarHost(hostile, problem=hostile), FarHost(hostile, hostile))
    odd = replace(odd, refused=(hostile,), hosts=hosts, environ={"X": hostile})
    text = findings_text(hostile, list(examined(odd)))
    assert all(character.isprintable() or character == "\n" for character in text)


def test_urgency_keeps_the_order_within() -> None:
    told = list(examined(WRONG["network.hosts"]))
    assert by_urgency(told)[0].id == "network.hosts"
    assert sorted(one.words for one in told) == sorted(one.words for one in by_urgency(told))


def test_a_container_that_is_shown_the_kernels_log_is_not_said_to_lack_it() -> None:
    for log, lacks in ((None, True), ((), False)):
        (said,) = found("cards.kind", replace(NOTHING, kernel=KernelFacts(log=log, container="docker")))
        assert ("and not the kernel's log" in said.words) is lacks
