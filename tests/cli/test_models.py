"""`hettui models` against a hub on loopback: judged before a byte of weights comes, fetched, verified, removed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from hettui.cli import main
from tests.fake_hub import FakeHub, serving
from tests.gguf_files import header, llama

REPO = "me/model-GGUF"


def model(blocks: int) -> bytes:
    head, size = header(*llama(blocks=blocks, vocabulary=32))
    return head + random.Random(blocks).randbytes(size)


FILES = {
    "model-Q2_K.gguf": model(1), "model-Q4_K_M.gguf": model(2), "model-Q8_0.gguf": model(60), "README.md": b"hello",
    "mmproj-model-f16.gguf": b"GGUF no tower",
}  # fmt: skip


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    for name in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    for name in ("HF_TOKEN", "HF_HOME", "HF_TOKEN_PATH", "MODEL_ENDPOINT", "LLAMA_CPP_BIN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", "/nowhere")
    with serving(FakeHub({REPO: dict(FILES)})) as served:
        monkeypatch.setenv("HF_ENDPOINT", served.url)
        yield served


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "c.toml"
    device = '[[devices]]\nname = "a"\nid = "cpu"\nvia = "worker"\nbudget = "24MiB"\nbandwidth = "40GB"\n'
    path.write_text(f"[serving]\nctx-size = 512\nubatch-size = 32\nbatch-size = 32\n{device}")
    return str(path)


def test_what_a_repository_offers_is_judged_by_headers_alone(
    hub: FakeHub, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = sum(map(len, FILES.values()))
    assert main(["models", "list", REPO, "--config", config, "--json"]) == 0
    offers = {one["name"]: one for one in json.loads(capsys.readouterr().out)["models"]}
    assert list(offers) == ["Q2_K", "Q4_K_M", "Q8_0"]
    assert offers["Q2_K"]["fit"] == "fits"
    assert offers["Q8_0"]["size_bytes"] == len(FILES["model-Q8_0.gguf"])
    assert all(one["problem"] is None for one in offers.values())
    # Of files that are this small all comes with the first range: of the large one a mebibyte.
    assert hub.served_bytes < whole
    assert main(["models", "list", "none/such", "--config", config]) == 1
    assert "HTTP 404" in capsys.readouterr().err


def test_the_largest_that_fits_is_advised_with_the_command_that_fetches_it(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "advise", REPO, "--config", config, "--ctx-size", "512"]) == 0
    said = capsys.readouterr().out
    best = said.rstrip().rsplit(":", 1)[1]
    assert f"hettui models fetch {REPO}:{best}" in said
    assert main(["models", "advise", REPO, "--config", config, "-c", "1000000"]) == 1
    assert "None of them fits whole" in capsys.readouterr().out
    assert main(["models", "advise", REPO, "-c", "0"]) == 2


def test_a_model_is_fetched_with_its_projector_found_verified_and_removed(
    tmp_path: Path, hub: FakeHub, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "fetch", REPO, "--json"]) == 0
    got = json.loads(capsys.readouterr().out)["files"]
    assert [Path(one["path"]).name for one in got] == ["model-Q4_K_M.gguf", "mmproj-model-f16.gguf"]
    path = Path(got[0]["path"])
    assert path == tmp_path / "cache/hettui/models/me/model-GGUF/model-Q4_K_M.gguf"
    assert path.read_bytes() == FILES["model-Q4_K_M.gguf"]
    # A second time nothing comes but the list.
    hub.served_bytes = 0
    assert main(["models", "fetch", f"{REPO}:Q4_K_M", "--no-mmproj"]) == 0
    assert hub.served_bytes < 2000
    capsys.readouterr()
    assert main(["models", "list", "--config", config, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["models"]
    assert [one["path"] for one in found if one["problem"] is None] == [str(path)]
    assert main(["models", "verify", str(path)]) == 0
    assert "sum are right" in capsys.readouterr().out
    spoiled = bytearray(path.read_bytes())
    spoiled[-1] ^= 0xFF
    path.write_bytes(spoiled)
    assert main(["models", "verify", str(path)]) == 1
    assert "its sum is not the one" in capsys.readouterr().err
    assert main(["models", "remove", str(path)]) == 0
    assert not path.exists()


def test_only_what_hettui_fetched_is_removed_unless_forced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = tmp_path / "mine.gguf"
    own.write_bytes(FILES["model-Q2_K.gguf"])
    assert main(["models", "remove", str(own)]) == 2
    assert "--force removes it" in capsys.readouterr().err
    assert own.exists()
    assert main(["models", "verify", str(own)]) == 0
    assert "its sum is not known here" in capsys.readouterr().out
    other = tmp_path / "thesis.txt"
    other.write_text("years")
    assert main(["models", "remove", str(other), "--force"]) == 2
    assert other.exists()
    assert main(["models", "remove", str(own), "--force"]) == 0
    assert not own.exists()


def test_a_url_and_a_token_from_a_file(tmp_path: Path, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"{hub.url}/{REPO}/resolve/main/model-Q2_K.gguf?download=true"
    assert main(["models", "fetch", url, "--to", str(tmp_path / "here")]) == 0
    assert (tmp_path / "here/model-Q2_K.gguf").read_bytes() == FILES["model-Q2_K.gguf"]
    monkeypatch.delenv("HF_ENDPOINT")
    assert main(["models", "fetch", url, "--to", str(tmp_path / "no hub")]) == 0
    assert main(["models", "fetch", REPO]) == 2
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    hub.token = "hf_x"  # noqa: S105 - a test's
    assert main(["models", "fetch", REPO, "--to", str(tmp_path / "two")]) == 1
    (tmp_path / "token").write_text("hf_x\n")
    monkeypatch.setenv("HF_TOKEN_PATH", str(tmp_path / "token"))
    assert main(["models", "fetch", f"{REPO}:Q2_K", "--to", str(tmp_path / "two"), "--no-mmproj"]) == 0
    assert (tmp_path / "two/model-Q2_K.gguf").exists()


@pytest.mark.parametrize(
    "words",
    [
        ["fetch"],
        ["fetch", "x"],
        ["fetch", REPO, "--parallel", "0"],
        ["fetch", f"{REPO}:Q9"],
        ["verify"],
        ["advise", "a/b", "c/d"],
    ],
)
def test_bad_usage_is_a_sentence(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", *words]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
