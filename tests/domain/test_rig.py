"""A report: nothing private survives in it, it can be read again, and a plan from it is the plan of its machine."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hettui.domain.bench.run import BenchDevice, BenchPlan, BenchRun, Setting
from hettui.domain.config.values import Config
from hettui.domain.devices.device import Device, Hardware, Host
from hettui.domain.errors import UsageError
from hettui.domain.llama.params import RuntimeParams, Serving
from hettui.domain.memory.workload import Workload
from hettui.domain.planner.learned import Learned, launch_key
from hettui.domain.rig.page import block_of, page
from hettui.domain.rig.rig import MARK, Rig, bench_json, read_rig, rig_json, rig_of
from hettui.domain.rig.veil import ReportVeil
from hettui.domain.session.asked import asked_plan
from hettui.domain.session.plan_report import PlanReport
from hettui.domain.session.session import Session
from hettui.domain.units import GIB, MIB
from tests import examples
from tests.doctor_facts import CARDS
from tests.fakes import cluster, shape

UUID = "1f2e3d4c-0000-1111-2222-333344445555"
DEVICES = tuple(
    Device(
        card.name, card.hardware.id, backend="cuda", engine_name=card.hardware.engine_name or "", uuid=f"GPU-{UUID}",
        pci_address=card.hardware.pci_address, budget_bytes=card.hardware.free_bytes,
        bandwidth_bytes_per_s=card.hardware.bandwidth_bytes_per_s,
    )
    for card in CARDS
)  # fmt: skip


def opened(devices: tuple[Device, ...] = DEVICES, **changes: Any) -> Session:
    config = Config(
        params=RuntimeParams(ctx_size=4096),
        hosts=tuple(Host(d.host, f"me@{d.host}") for d in devices if d.host != "local"),
    )
    cards = tuple(replace(card.hardware, uuid=f"GPU-{UUID}") for card in CARDS)
    cpu = Hardware("cpu", "CPU (16 threads)", "cpu", total_bytes=64 * GIB, free_bytes=60 * GIB, engine_name="CPU")
    made = Session(config, (*cards, cpu), devices, cluster(devices), shape())
    return replace(made, **changes)


def plain(text: str) -> str:
    return text


def rig(session: Session, hide: Any = plain) -> Rig:
    return rig_of(session, version="1.0", machine={"cpu": "a CPU"}, findings=[("power.supply", "warning")], hide=hide)


def run(name: str = "run", text: str = "a model") -> BenchRun:
    setting = Setting(
        model=text, model_path=f"/home/{text}", commands=(text,),
        devices=(BenchDevice(text, "cuda", "master", 3, text),),
        builds={"llama.cpp": text}, machine={"cpu": text}, params={"alias": text},
    )  # fmt: skip
    return BenchRun(name, "2026-01-01T10:00:00", BenchPlan(), setting, (), (), (text,), text)


def written(session: Session, hide: Any = plain, text: str = "a model") -> str:
    kept = [bench_json(run(text=text), hide)]
    return page(rig(session, hide), ["a line"], [], kept)


# -- round trip --------------------------------------------------------------------------------------------


def plan_of(workload: Workload, devices: tuple[Device, ...], learned: Learned, ram: int | None, args: Any) -> bytes:
    plan, best = asked_plan(workload, devices)
    told = PlanReport(workload, plan, None, learned, best, ram, (), *args).as_json()
    return json.dumps(told, indent=1).encode()


@pytest.mark.parametrize("launched", [False, True])
def test_a_plan_from_a_report_is_the_plan_on_its_machine_byte_for_byte(launched: bool) -> None:
    serving = Serving(extra_args=("--mmproj", "/home/me/mmproj.gguf", "--metrics", "--api-prefix", "/x"))
    far = replace(DEVICES[0], name="far", host="attic", via="worker", round_trip_s=0.0004, id=f"uuid:GPU-{UUID}")
    session = opened((*DEVICES, far), file_bytes={"/home/me/mmproj.gguf": 800 * MIB})
    session = replace(session, config=replace(session.config, serving=serving))
    assert session.workload is not None
    learned = session.learned
    if launched:
        plan, _ = asked_plan(session.workload, learned.with_measured(session.devices))
        learned.compute[launch_key(session.workload, plan.devices, plan.split)] = {"0": 77 * MIB, "host": 3 * MIB}
    here = plan_of(
        session.workload, learned.with_measured(session.devices), learned, session.surroundings.ram_bytes,
        (serving.extra_args, session.file_bytes),
    )  # fmt: skip
    read = read_rig(block_of(written(session), "r.md"), "r.md")
    workload = Workload(session.workload.shape, read.params, read.build, read.extra_args)
    there = plan_of(workload, read.devices, read.learned, read.ram_bytes, (read.extra_args, read.file_bytes))
    assert there == here
    assert (b"measured" in here) is launched
    assert b"mmproj" in here


def test_a_rig_is_itself_after_a_round_trip_and_the_block_may_stand_alone() -> None:
    before = rig(opened())
    assert read_rig(json.loads(json.dumps(rig_json(before))), "x") == before
    alone = json.dumps(rig_json(before))
    assert read_rig(block_of(alone, "x"), "x") == before
    assert read_rig(block_of(f"# Issue\n\ntext\n\n```json\n{alone}\n```\n\nmore", "x"), "x") == before


@pytest.mark.parametrize("text", ["", "# nothing", "```json\n{}\n```", f"```json\n{{{MARK!r}\n```", f"{MARK}"])
def test_what_holds_no_rig_is_a_sentence(text: str) -> None:
    with pytest.raises(UsageError, match="holds no rig: hettui report writes one"):
        block_of(text, "x.md")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({MARK: 99}, "another format"),
        ({"build": "new"}, "damaged rig: build"),
        ({"build": -1}, "no rig that can be"),
        ({"devices": [{"name": "a", "layers": -5}]}, "below 0"),
        ({"devices": [{"name": "a"}, {"name": "a"}]}, "same name"),
        ({"devices": [{"name": "a", "budget_bytes": -(1 << 40)}]}, "impossible budget"),
        ({"params": {"cache_type_k": "zzz"}}, "does not know"),
        ({"params": {"ubatch_size": 0}}, "ubatch_size is 0"),
        ({"compute": {"k": {"0": -1}}}, "below 0"),
        ({"surprise": 1}, "damaged rig"),
        ({"ram_bytes": 1e400}, "damaged rig"),
    ],
)
def test_somebody_elses_rig_is_checked(changes: dict[str, Any], says: str) -> None:
    document = {**rig_json(rig(opened())), **changes}
    with pytest.raises(UsageError, match=says):
        read_rig(document, "x.md")


# -- nothing private ---------------------------------------------------------------------------------------

WORD = st.text("ghjklmnpqrstvwxyz0123456789", min_size=2, max_size=12).map(lambda w: f"zq{w}")
"""Stands in no report by chance."""


@settings(max_examples=examples.of(60))
@given(user=WORD, node=WORD, host=WORD, key=WORD, prompt=WORD, uuid=st.uuids(), data=st.data())
def test_no_home_host_user_uuid_key_or_prompt_survives(
    user: str, node: str, host: str, key: str, prompt: str, uuid: object, data: st.DataObject
) -> None:
    key = f"sk-{key}"
    home = f"/home/{user}"
    private = [home, user, node, host, key, str(uuid)]
    texts = [
        f"{home}/models/x.gguf", f"{user}@{host}", f"{host}:50052", f"{node}: started", f"GPU-{uuid}",
        f"key {key}.",
        f"--api-key {key} -m '{home}/a b.gguf'", f"{user.upper()}'s card",
        f"ssh://{user}@{host}.lan:22", f"in /srv/{user}/x",
    ]  # fmt: skip
    text = " ".join(data.draw(st.permutations(texts)))
    devices = (
        replace(
            DEVICES[0], name=text, host=host, via="worker", id=f"uuid:GPU-{uuid}", uuid=f"GPU-{uuid}", missing=text
        ),
        replace(DEVICES[1], name=f"{text}!", id=f"uuid:GPU-{uuid}"),
    )
    session = opened(devices)
    cards = tuple(replace(h, name=text, uuid=f"GPU-{uuid}", id=f"uuid:GPU-{uuid}", host=host) for h in session.hardware)
    serving = Serving(alias=prompt, extra_args=("--mmproj", f"{home}/{prompt}", "--lora", text))
    config = replace(session.config, serving=serving, model_path=f"{home}/{prompt}.gguf")
    session = replace(session, config=config, hardware=cards, problem=text, refused=(text,))
    told = written(session, ReportVeil(home, [user, node, host, f"{user}@{host}"], [key]), text)
    for word in (*private, prompt):
        assert word.lower() not in told.lower(), word
    assert read_rig(block_of(told, "x"), "x").devices[0].host == "host1"


def test_the_veil_leaves_what_is_no_secret() -> None:
    hide = ReportVeil("/home/me", ["me", "box", "a"])
    assert (
        hide("NVIDIA GeForce RTX 3060, metal, boxes, 580.95.05") == "NVIDIA GeForce RTX 3060, metal, boxes, 580.95.05"
    )
    assert hide("me and Box") == "(hidden) and (hidden)"
    assert hide("F16/Q4_K 10/s") == "F16/Q4_K 10/s"


def test_the_page_says_what_it_is_in_markdown_that_nobody_can_break_out_of() -> None:
    odd = replace(DEVICES[0], name="| a ``` b\x1b[31m")
    told = page(rig(opened((odd,))), ["``` plan"], [], [])
    assert told.startswith("# hettui report\n")
    assert "| NVIDIA GeForce RTX 5080 | CUDA2 | 16.0 GiB | 960 | gen1 x16 | 580.95.05 |" in told
    assert "warning `power.supply`" in told
    assert told.count("```") == 4
    assert "\x1b" not in told
    assert read_rig(block_of(told, "x"), "x").devices[0].name == "| a ``` b"
