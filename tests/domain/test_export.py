"""A cluster as files: the same processes in the same order, for whoever reads them."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from hettui.domain.cluster.launch import Cluster
from hettui.domain.cluster.process import RestartPolicy
from hettui.domain.cluster.supervision import Supervision
from hettui.domain.devices.device import Device, Host
from hettui.domain.export import compose, shell, systemd
from hettui.domain.export.parts import ENV_FILE, Exported, Parts, parts_of
from hettui.domain.llama.params import Drafting, RuntimeParams, Serving
from hettui.domain.plan.split import Split
from tests.fakes import cluster

UUIDS = ("GPU-0a1b2c3d-0000-0000-0000-000000000001", "GPU-0a1b2c3d-0000-0000-0000-000000000002")
DEVICES = (
    Device("RTX 5080", "pci:0000:01:00.0", backend="cuda", engine_name="CUDA0", uuid=UUIDS[0]),
    Device("box's CPU", "cpu", via="worker", threads=4),
    Device("far 3060", f"uuid:{UUIDS[1]}", "attic", "worker", "cuda", "CUDA0", uuid=UUIDS[1]),
)
NIGHTLY = Supervision(RestartPolicy(3, 600.0, 2.0), stop_grace_s=7.0)
MODEL = "/models/it's 100% $mine.gguf"


def made(supervision: Supervision = NIGHTLY, key: str | None = None, **changes: object) -> Parts:
    of: Cluster = replace(
        cluster(DEVICES, params=RuntimeParams(4096)),
        model_path=MODEL,
        hosts=(Host("attic", "me@attic", "~/llama"),),
        serving=Serving(**changes),  # type: ignore[arg-type]
    )
    return parts_of(of, Split((20, 5, 6), 31), supervision, key)


def by_path(files: list[Exported]) -> dict[str, Exported]:
    return {one.path: one for one in files}


def test_workers_come_first_and_each_stands_on_its_own_host() -> None:
    parts = made()
    assert [part.slug for part in parts.workers] == ["worker-box-s-cpu", "worker-far-3060"]
    assert parts.workers[0].host is None
    assert parts.workers[1].argv[:5] == ("~/llama/ggml-rpc-server", "-H", "127.0.0.1", "-p", "18052")
    assert parts.workers[1].env == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": UUIDS[1]}
    assert "hettui" not in " ".join(part for one in (*parts.workers, parts.master) for part in one.argv)
    rpc = parts.master.argv[parts.master.argv.index("--rpc") + 1]
    assert rpc == "127.0.0.1:50052,127.0.0.1:18052"


def test_what_only_hettui_can_do_is_left_out() -> None:
    parts = made(port=0, hold_requests=True, slot_save_path="/state")
    assert parts.url == "http://127.0.0.1:8080"
    assert "--slot-save-path" not in parts.master.argv
    assert parts.master.argv[parts.master.argv.index("--port") + 1] == "8080"


@pytest.mark.parametrize("form", [shell, systemd, compose], ids=["sh", "systemd", "compose"])
def test_a_key_stands_in_the_private_file_only(form: Any) -> None:
    files = form.files(made(key="secret-key"))
    assert [one.path for one in files if "secret-key" in one.text] == [ENV_FILE]
    assert {one.mode for one in files if one.path.endswith(ENV_FILE)} == {0o600}
    told = form.files(made(key="secret-key", api_key_file="/etc/keys"))
    assert not [one.path for one in told if "secret-key" in one.text], "the file has it"
    assert any("/etc/keys" in one.text for one in told)


def test_scripts_are_sound_and_keep_order_and_words(tmp_path: Path) -> None:
    files = by_path(shell.files(made()))
    for name in ("cluster.sh", "start.sh", "stop.sh", "status.sh"):
        assert files[name].mode == 0o755
        subprocess.run(["sh", "-n"], input=files[name].text, text=True, check=True)
    start = files["start.sh"].text.replace("\\\n", " ")
    words = [shlex.split(line) for line in start.splitlines() if line.startswith("launch ")]
    assert [line[1] for line in words] == ["worker-box-s-cpu", "worker-far-3060", "master"]
    assert MODEL in words[-1]
    there = words[1][-1]
    assert there.startswith("trap '' PIPE; exec env CUDA_DEVICE_ORDER=PCI_BUS_ID")
    assert '"$HOME"/llama/ggml-rpc-server' in there
    assert words[1][2:5] == ["ssh", "-tt", "-n"]
    assert start.index("until_listens worker-far") < start.index("launch master")
    stop = files["cluster.sh"].text
    assert stop.index("stop_one master\n") < stop.index("stop_one worker-far-3060") < stop.index("stop_one worker-box")
    assert "left=$((7 * 10))" in stop


def test_units_have_order_policy_and_what_systemd_reads_back(tmp_path: Path) -> None:
    files = by_path(systemd.files(made()))
    master = files["hettui-master.service"].text
    assert "After=hettui-worker-box-s-cpu.service hettui-worker-far-3060-line.service" in master
    assert "Restart=on-failure" in master
    assert "StartLimitBurst=4" in master
    assert "TimeoutStopSec=7" in master
    assert '"/models/it\'s 100%% $$mine.gguf"' in master
    far = files["attic/hettui-worker-far-3060.service"].text
    assert 'ExecStart="%h/llama/ggml-rpc-server"' in far
    assert "IgnoreSIGPIPE=yes" in far
    calm = by_path(systemd.files(made(Supervision())))["hettui-master.service"].text
    assert "Restart=" not in calm


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd here")
def test_systemd_takes_every_unit(tmp_path: Path) -> None:
    for one in systemd.files(made()):
        target = tmp_path / one.path
        target.parent.mkdir(parents=True, exist_ok=True)
        # The binaries of the test are not there: whether they are is the machine's matter.
        target.write_text(one.text.replace('ExecStart="', 'ExecStart="/bin/true" "'))
    units = sorted(str(path) for path in tmp_path.rglob("*") if path.suffix in (".service", ".target"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", "--man=no", *units], capture_output=True, text=True,
        env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "XDG_RUNTIME_DIR": str(tmp_path)},
    )  # fmt: skip
    complaints = [line for line in done.stderr.splitlines() if str(tmp_path) in line or "hettui" in line]
    assert complaints == []


def test_the_compose_file_reserves_cards_by_uuid_and_waits_for_health() -> None:
    files = by_path(compose.files(made()))
    text = files["compose.yaml"].text
    assert text.startswith("#")
    document = read(text)
    master = document["services"]["master"]
    assert master["depends_on"] == {"worker-box-s-cpu": {"condition": "service_healthy"}}
    (device,) = master["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "device_ids": [UUIDS[0]], "capabilities": ["gpu"]}
    assert master["volumes"] == ["/models:/models:ro"]
    assert "/models/it's 100% $$mine.gguf" in master["command"]
    assert "trap '' PIPE" in " ".join(master["entrypoint"])
    assert master["restart"] == "on-failure:3"
    assert not any(name.startswith("CUDA") for name in master["environment"])
    far = read(files["attic/compose.yaml"].text)
    assert list(far["services"]) == ["worker-far-3060"]
    assert "ssh -N -L 127.0.0.1:18052:127.0.0.1:18052 me@attic" in text


SPECIFICATION = json.loads((Path(__file__).parents[1] / "fixtures" / "compose_spec.json").read_text(encoding="utf-8"))


def test_files_beside_the_model_are_there_in_the_container_and_their_card_is_reserved() -> None:
    params = RuntimeParams(
        4096,
        draft=Drafting(model="/drafts/small.gguf", device="host"),
        mmproj="/eyes/mmproj.gguf",
        mmproj_device=DEVICES[0].name,
        lora=("/tone/a.gguf:0.5", "/tone/b.gguf"),
    )
    of = replace(cluster((DEVICES[0], DEVICES[1]), params=params), model_path=MODEL)
    written = by_path(compose.files(parts_of(of, Split((0, 31), 31), NIGHTLY)))["compose.yaml"].text
    master = read(written)["services"]["master"]
    assert master["volumes"] == ["/models:/models:ro", "/drafts:/drafts:ro", "/eyes:/eyes:ro", "/tone:/tone:ro"]
    assert {"/drafts/small.gguf", "/eyes/mmproj.gguf"} <= set(master["command"])
    (device,) = master["deploy"]["resources"]["reservations"]["devices"]
    assert device["device_ids"] == [UUIDS[0]]


@pytest.mark.parametrize("supervision", [NIGHTLY, Supervision()], ids=["restarts", "as usual"])
def test_every_compose_file_is_one_by_the_schema(supervision: Supervision) -> None:
    checked = jsonschema.Draft202012Validator(SPECIFICATION)
    documents = [read(one.text) for one in compose.files(made(supervision)) if one.path.endswith("compose.yaml")]
    assert len(documents) == 2
    for document in documents:
        checked.validate(document)
        for service in document["services"].values():
            # Who is waited for is there.
            assert set(service.get("depends_on", {})) <= set(document["services"])
    # It does find what is wrong.
    documents[0]["services"]["master"]["stop_grace_period"] = 7
    assert not checked.is_valid(documents[0])


def read(text: str) -> Any:
    return yaml.safe_load(text)
