"""Reports that parse as llama-bench's, comparisons that call a tie a tie, runs that come back as they were."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import pytest

from hettui.domain.bench.compare import compare, compare_json, compare_text
from hettui.domain.bench.devices import DeviceMeter
from hettui.domain.bench.kept import run_from_json, run_json
from hettui.domain.bench.llama_bench import llama_bench_argv, read_llama_bench
from hettui.domain.bench.report import csv_text, markdown, markdown_table, report_json, result_json, text
from hettui.domain.bench.run import (
    BenchDevice,
    BenchPlan,
    BenchResult,
    BenchRun,
    BenchSample,
    BenchTest,
    Costs,
    DeviceFigures,
    Setting,
)
from hettui.domain.bench.setting import setting_of
from hettui.domain.chat.wire import ServerFacts
from hettui.domain.cluster.snapshot import Applied, ClusterSnapshot
from hettui.domain.llama.foreign import read_argv, without_secrets
from hettui.domain.llama.params import RuntimeParams
from hettui.domain.plan.split import Split
from hettui.domain.telemetry.readings import DeviceSample, TelemetrySnapshot
from tests.fakes import cluster
from tests.ui import stage

# The form of llama-bench's tables, as its documentation shows them.
LLAMA_BENCH = """\
| model                          |       size |     params | backend    | ngl |            test |                  t/s |
| ------------------------------ | ---------: | ---------: | ---------- | --: | --------------: | -------------------: |
| llama 7B Q4_0                  |   3.56 GiB |     6.74 B | CUDA       |  99 |           pp512 |      2368.80 ± 93.24 |
| llama 7B Q4_0                  |   3.56 GiB |     6.74 B | CUDA       |  99 |   tg128 @ d1024 |        131.42 ± 0.59 |

build: 1425f587 (1234)
"""


def parse(table: str) -> list[dict[str, str]]:
    """What people's scripts do with such a table: the columns by name, the rate as mean ± deviation."""
    lines = [line for line in table.splitlines() if line.startswith("|")]
    names = [cell.strip() for cell in lines[0].strip("|").split("|")]
    assert all(set(cell.strip()) <= {"-", ":"} for cell in lines[1].strip("|").split("|"))
    rows = [dict(zip(names, (c.strip() for c in line.strip("|").split("|")), strict=True)) for line in lines[2:]]
    for row in rows:
        mean, plus_minus, deviation = row["t/s"].partition(" ± ")
        assert float(mean) > 0
        assert not plus_minus or float(deviation) >= 0
        kind, _, depth = row["test"].partition(" @ d")
        assert kind[:2] in ("pp", "tg")
        assert not depth or depth.isdigit()
    return rows


def run(key: str = "k1", rates: tuple[float, ...] = (10.0, 11.0, 12.0), **changes: object) -> BenchRun:
    setting = Setting(
        model="smol | Q4_1",
        model_path="/m.gguf",
        model_bytes=96576768,
        model_params=134515008,
        model_sha256="ab",
        builds={"llama-server": "b10068-abc", "hettui": "0.1"},
        commands=("llama-server -m /m.gguf",),
        devices=(
            BenchDevice("big", "cuda", "master", 20, "RTX 5080", "580.1", 1 << 30, 300.0),
            BenchDevice("small", "cpu", "worker", 11),
            BenchDevice("idle", "cpu", "worker", 0),
        ),
        split=(20, 11, 0),
        params={"ubatch_size": 512},
    )
    generated = tuple(BenchSample(128, 128 / rate, 0.1, 0.09, 0.12, rate * 129 / 128, 25.6) for rate in rates)
    results = (
        BenchResult(BenchTest(prompt=512, depth=1024), (BenchSample(512, 2.0, 2.1),)),
        BenchResult(BenchTest(generate=128), generated),
        BenchResult(BenchTest(generate=128, streams=4), (BenchSample(512, 10.0, 0.2),)),
    )
    devices = (DeviceFigures("big", 1 << 30, 71.0, 200.0, 0.2, ("at its power limit",)), DeviceFigures("small"))
    made = BenchRun(
        key, "2026-01-01T10:00:00+00:00", BenchPlan(), setting, results, devices, ("tg128 x8 was left out",)
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_table_parses_as_llama_benchs_does() -> None:
    theirs, ours = parse(LLAMA_BENCH), parse(markdown_table(run()))
    assert set(theirs[0]) <= set(ours[0])
    assert [row["test"] for row in ours] == ["pp512 @ d1024", "tg128", "tg128 x4"]
    assert ours[1] == {
        "model": "smol / Q4_1", "size": "92.10 MiB", "params": "134.52 M", "backend": "CUDA,RPC", "ngl": "31",
        "dev": "big/small", "ts": "20/11", "test": "tg128", "t/s": "11.00 ± 1.00",
    }  # fmt: skip


def test_the_articles_four_lines_and_the_devices() -> None:
    report = text(run())
    assert "generation speed: 10.0 to 12.0 tok/s" in report
    assert "time to first token: 2100 ms after a prompt of 1536 tokens" in report
    assert "peak memory of all devices: 1.0 GiB" in report
    assert "peak temperature: big 71 °C" in report
    assert "at its power limit" in report
    assert "tg128 x8 was left out" in report


def test_what_is_not_complete_says_so_first() -> None:
    report = markdown(run(problem="stopped before the end"))
    assert "- NOT COMPLETE: stopped before the end" in report
    assert report_json(run(problem="x"), {})["complete"] is False


def test_csv_has_llama_benchs_names() -> None:
    rows = list(csv.DictReader(io.StringIO(csv_text(run()))))
    assert [row["n_gen"] for row in rows] == ["0", "128", "128"]
    assert float(rows[1]["avg_ts"]) == pytest.approx(11.0)
    assert float(rows[1]["joules_per_token"]) == pytest.approx(0.2)
    assert rows[0]["backends"] == "CUDA,RPC"


def test_a_cell_is_no_formula() -> None:
    bad = run()
    bad = replace(bad, setting=replace(bad.setting, model="=cmd()"))
    assert '"\'=cmd()"' in csv_text(bad)


def test_a_run_comes_back_as_it_was() -> None:
    kept = json.loads(json.dumps(run_json(run())))
    assert run_from_json("k1", kept) == run()


@pytest.mark.parametrize(
    "data", [None, [], {}, {"format": 1}, {"format": 1, "plan": {}, "setting": {}, "results": [{"samples": [{}]}]}]
)
def test_what_is_no_run(data: object) -> None:
    assert run_from_json("k", data) is None


def test_a_hostile_run_is_cleaned() -> None:
    kept = json.loads(json.dumps(run_json(run())))
    kept["setting"]["model"] = "\x1b]0;x\x07smol"
    kept["later"] = "a field of a newer version"
    found = run_from_json("k1", kept)
    assert found is not None
    assert found.setting.model == "smol"


@pytest.mark.parametrize(
    ("rates", "verdict"),
    [
        ((10.5, 11.5, 12.5), "tie"),
        ((20.0, 20.1, 20.2), "B faster"),
        ((2.0, 2.1, 2.2), "A faster"),
        ((11.0,), "one run is no interval: not decided"),
    ],
)
def test_ties_are_called_ties(rates: tuple[float, ...], verdict: str) -> None:
    row = compare(run(), run("k2", rates))[1]
    assert (row.test, row.verdict) == ("tg128", verdict)


def test_what_else_differs_is_told() -> None:
    other = run("k2", results=run().results[:1])
    other = replace(
        other, setting=replace(other.setting, builds={"llama-server": "b11434"}, params={"ubatch_size": "256"})
    )
    report = compare_text(run(), other)
    assert "only in one of them" in report
    assert "build of llama-server: b10068-abc in A, b11434 in B" in report
    assert "ubatch_size: 512 in A, 256 in B" in report
    assert compare_json(run(), run("k2"))["differences"] == []


def test_the_time_left_follows_the_measured_speeds() -> None:
    read, write = BenchTest(prompt=512), BenchTest(generate=128)
    assert Costs().share([read], [write]) == (0.5, None)
    assert Costs(512, 64).share([read], [write, write]) == (0.2, 4.0)
    assert Costs().share([], []) == (0.0, None)


MASTER = [
    "/opt/llama-server", "-m", "/m.gguf", "-c", "8192", "-b", "2048", "-ub", "512", "-fa", "auto", "-ctk", "f16",
    "--rpc", "127.0.0.1:50052,[::1]:50053", "--device", "CUDA0,RPC0,RPC1", "-ngl", "31", "-ts", "17,12,2",
    "--api-key", "secret", "--hf-token=secret",
]  # fmt: skip


def test_a_foreign_servers_command_line() -> None:
    found = read_argv(MASTER)
    assert found.model_path == "/m.gguf"
    assert found.devices == ("CUDA0", "RPC0", "RPC1")
    assert found.endpoints == (("127.0.0.1", 50052), ("::1", 50053))
    assert found.split == (17, 12, 2)
    assert found.params["ctx_size"] == "8192"
    assert read_argv([*MASTER, "-ngl", "99"]).split == ()
    assert "secret" not in " ".join(without_secrets(MASTER))


def test_llama_bench_takes_slashes() -> None:
    argv = llama_bench_argv("llama-bench", MASTER, BenchPlan((512, 64), (128,), (0,), (1,), 3))
    assert argv[argv.index("-ts") + 1] == "17/12/2"
    assert argv[argv.index("-dev") + 1] == "CUDA0/RPC0/RPC1"
    assert argv[argv.index("-p") + 1] == "512,64"
    assert "-fa" not in argv


def test_llama_bench_is_told_what_stays_on_the_host() -> None:
    """Or it would load all of it onto the cards. It has no `--n-cpu-ffn`."""
    plan = BenchPlan((512,), (128,), (0,), (1,), 3)
    argv = llama_bench_argv("llama-bench", [*MASTER, "-ot", r"blk\.(3|4)\.ffn_up=CPU,mine=CPU", "-ncffn", "2"], plan)
    assert argv[argv.index("-ot") + 1] == (r"blk\.(3|4)\.ffn_up=CPU;mine=CPU;blk\.(0|1)\.ffn_(up|down|gate)\.=CPU")
    assert "-ncffn" not in argv
    assert "-ot" not in llama_bench_argv("llama-bench", MASTER, plan)


def test_what_llama_bench_prints() -> None:
    (result,) = read_llama_bench(
        '[{"n_prompt": 0, "n_gen": 128, "n_depth": 64, "samples_ns": [1000000000, 2000000000]}]'
    )
    assert result.test.name == "tg128 @ d64"
    assert [s.per_second for s in result.samples] == [128.0, 64.0]
    with pytest.raises(Exception, match="no result of it"):
        read_llama_bench("error: invalid argument")


# -- what was not measured is not printed ----------------------------------------------------------------------


def test_one_run_has_no_deviation() -> None:
    single = run(rates=(30.91,))
    assert parse(markdown_table(single))[1]["t/s"] == "30.91"
    assert "±" not in compare_text(single, single).split("mean ±")[0]
    assert result_json(single, single.results[1])["stddev_ts"] is None
    assert parse(markdown_table(run()))[1]["t/s"] == "11.00 ± 1.00"


def _meter(*readings: DeviceSample) -> DeviceMeter:
    meter = DeviceMeter()
    for second, sample in enumerate(readings):
        meter.add(TelemetrySnapshot(float(second), 1.0, {"card": sample}))
    return meter


@pytest.mark.parametrize(
    ("readings", "joules"),
    [
        ([DeviceSample(energy_j=100.0), DeviceSample(energy_j=150.0), DeviceSample(energy_j=200.0)], 100.0),
        ([DeviceSample(energy_j=0.0)] * 3, None),
        ([DeviceSample(energy_j=7.0, power_w=50.0)] * 3, 100.0),
        ([DeviceSample(energy_j=9.0), DeviceSample(energy_j=9.0), DeviceSample(energy_j=1.0)], None),
        ([DeviceSample(power_w=0.0)] * 3, None),
        ([DeviceSample(power_w=0.0), DeviceSample(power_w=80.0), DeviceSample(power_w=0.0)], 160.0),
        ([DeviceSample()] * 3, None),
    ],
)
def test_energy_that_was_not_measured_is_unknown_and_not_0(readings: list[DeviceSample], joules: float | None) -> None:
    meter = _meter(*readings)
    assert meter.energy_j((0.0, 2.0)) == joules
    assert meter.energy_j((1.0, 1.0)) is None
    (figures,) = meter.figures((0.0, 2.0), [((0.0, 2.0), 10)])
    assert figures.joules_per_token == (None if joules is None else joules / 10)
    kept = BenchResult(BenchTest(generate=8), (BenchSample(8, 1.0, energy_j=0.0),))
    assert kept.joules_per_token is None


def test_a_run_is_filed_under_what_ran_and_not_under_what_was_wanted() -> None:
    """A change of the model failed: the model before runs on, the session is about the new one."""
    ran = RuntimeParams(ctx_size=512, ubatch_size=64)
    wanted = stage.session()
    old = replace(cluster(wanted.devices), model_path="/models/old-7B.gguf", params=ran)
    snapshot = ClusterSnapshot(applied=Applied.of(old, Split((11, 10, 10), 31)))
    for facts, title in ((ServerFacts(), "old-7B"), (ServerFacts(model_name="old"), "old")):
        setting = setting_of(wanted, snapshot, facts, {}, "1", {})
        assert (setting.model, setting.model_path) == (title, "/models/old-7B.gguf")
        assert (setting.params["ctx_size"], setting.params["ubatch_size"]) == (512, 64)
    same = replace(old, model_path="/models/smol.gguf")
    setting = setting_of(
        wanted, ClusterSnapshot(applied=Applied.of(same, Split((31, 0, 0), 31))), ServerFacts(), {}, "1", {}
    )
    assert setting.model == wanted.title
