"""The plan's report: the JSON that other programs read, and a table for people."""

from __future__ import annotations

import json
import re

from hettui.domain.cluster.launch import plan_launch
from hettui.domain.devices.device import Device
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.memory.workload import Workload
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.session.model_report import model_details_json, model_text
from hettui.domain.session.plan_report import PlanReport
from hettui.domain.units import MIB
from tests.fakes import cluster, shape, workers
from tests.truth.compare import shape_of


def report(*layers: int, budgets: tuple[int | None, ...] = (240, 180, 90)) -> PlanReport:
    devices = workers(*budgets)
    split = Split(layers, 31)
    return PlanReport(Workload(shape(), RuntimeParams()), Plan(devices, split), plan_launch(cluster(devices), split))


def test_the_document_has_the_promised_fields() -> None:
    found = json.loads(json.dumps(report(16, 0, 12).as_json()))
    assert found["model"] == {
        "path": "/models/smol.gguf",
        "architecture": "llama",
        "blocks": 30,
        "layers": 31,
        "file_bytes": shape().file.file_bytes,
    }
    first, second, third = found["devices"]
    # Three layers stay on the host, and they are the first ones.
    assert (first["blocks"], second["blocks"], third["blocks"]) == ([3, 18], None, [19, 29])
    assert [d["output"] for d in found["devices"]] == [False, False, True]
    assert first["total_bytes"] == sum(first[f"{k}_bytes"] for k in ("weights", "context", "compute", "overhead"))
    assert second["total_bytes"] == 0
    assert third["budget_bytes"] == 90 * MIB
    assert not third["fits"]
    assert found["fits"] is False
    assert found["short_by"] == third["total_bytes"] - 90 * MIB
    assert found["tensor_split"] == [16, 0, 12]
    assert found["expected"]["basis"] == "none"
    assert found["settings"]["ctx_size"] == 4096
    assert [c["role"] for c in found["commands"]] == ["worker", "worker", "worker", "master"]
    assert found["host"]["weights_bytes"] > shape().host_bytes


def test_the_table_names_what_is_missing() -> None:
    text = report(16, 0, 12).as_text()
    assert "19–29 + output" in text
    assert "d2 is short by" in text
    assert "# master\n" in text
    assert max(len(line) for line in text.splitlines()[:9]) <= 100


def test_the_host_row_says_what_it_holds() -> None:
    assert re.search(r"^host \(CPU\) +31 +0–29 \+ output", report(0, 0, 0).as_text(), re.MULTILINE)
    assert re.search(r"^host \(CPU\) +0 +–", report(16, 10, 5).as_text(), re.MULTILINE)


def test_an_unknown_budget_leaves_the_answer_open() -> None:
    found = report(31, 0, 0, budgets=(None, None, 90))
    assert "whether it fits is open" in found.as_text()
    assert found.as_json()["short_by"] is None


def test_what_a_header_says() -> None:
    details = model_details_json(Workload(shape(), RuntimeParams()))
    assert details["kv_bytes_per_token"] == 30 * 2 * 192 * 2
    assert details["tied_embeddings"] is True
    assert "22.5 KiB per token" in model_text(Workload(shape(), RuntimeParams()))


def test_shares_are_said_in_percent_and_their_speed_as_unverified() -> None:
    cards = tuple(
        Device(name, f"uuid:{name}", backend="cuda", budget_bytes=9000 * MIB, bandwidth_bytes_per_s=4e11)
        for name in ("a", "b")
    )
    workload = Workload(shape_of("llama-8b", 32), RuntimeParams(split_mode="tensor"))
    told = PlanReport(workload, Plan(cards, Split((22, 11), 33)))
    document = json.loads(json.dumps(told.as_json()))
    assert document["settings"]["split_mode"] == "tensor"
    assert document["tensor_split"] == [22, 11]
    assert [(d["share"], d["blocks"], d["output"]) for d in document["devices"]] == [
        (0.6667, None, True),
        (0.3333, None, True),
    ]
    assert (document["warnings"], document["fits"], document["exact"]) == ([], True, False)
    text = told.as_text()
    assert "67 % of each" in text
    assert "33 % of each" in text
    assert "this is not verified" in text
    whole = PlanReport(Workload(workload.shape), Plan(cards, Split((22, 11), 33))).as_json()
    assert [d["share"] for d in whole["devices"]] == [None, None]  # type: ignore[attr-defined]
