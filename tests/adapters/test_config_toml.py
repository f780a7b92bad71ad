"""Configuration files: every mistake has file, line and what is allowed; no write loses anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hettui.adapters.files.config_toml import drop_section, load, save_plan, save_values, write_text
from hettui.domain.cluster.process import RestartPolicy
from hettui.domain.cluster.supervision import Supervision
from hettui.domain.config.schema import SECTIONS
from hettui.domain.config.values import Config, DeviceConfig
from hettui.domain.config.writing import commented_config
from hettui.domain.devices.device import Device, Host
from hettui.domain.errors import ConfigError
from hettui.domain.llama.params import Serving
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.slots.policy import KeepPolicy
from tests import examples

FULL = """\
# my cluster
[model]
path = "models/m.gguf"   # the good one

[serving]
port = 9000
ctx-size = 8192
parallel = "auto"
flash-attn = "on"
extra-args = ["--metrics"]

[[hosts]]
name = "attic"
ssh = "me@attic"

# the fast one
[[devices]]
name = "RTX 5080"
id = "pci:0000:01:00.0"
layers = 22
margin = "1GiB"

[[devices]]
name = "RTX 3060"   # noisy
host = "attic"
via = "worker"
layers = 17
budget = "11GiB"

[ui]
theme = "paper"
bell = true
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "c.toml"
    path.write_text(FULL)
    return path


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("", KeepPolicy()),
        ('context-keep = "off"', KeepPolicy(limit_bytes=0)),
        ('context-keep = "4GiB"\ncontext-at-stop = "keep"', KeepPolicy(limit_bytes=4 << 30, at_stop="keep")),
        ("context-snapshot-minutes = 0\ncontext-snapshot-tokens = 0", KeepPolicy(snapshot_s=0, snapshot_tokens=0)),
        ('slot-save-path = "kept"', "kept"),
    ],
)  # fmt: skip
def test_how_contexts_are_kept(tmp_path: Path, said: str, expected: KeepPolicy | str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"[serving]\n{said}\n")
    config = load(path)
    if isinstance(expected, str):
        expected = KeepPolicy(folder=str(tmp_path / expected))
    assert config.keeping == expected
    assert config.serving == Serving()


@pytest.mark.parametrize(
    ("key", "value"), [("context-keep", '"much"'), ("context-at-stop", '"burn"'), ("context-snapshot-minutes", "-1")]
)
def test_how_contexts_cannot_be_kept(tmp_path: Path, key: str, value: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f"[serving]\n{key} = {value}\n")
    with pytest.raises(ConfigError, match=key):
        load(path)


def test_everything_is_read(file: Path) -> None:
    config = load(file)
    assert config.model_path == str(file.parent / "models/m.gguf")
    assert (config.serving.port, config.params.ctx_size, config.params.parallel) == (9000, 8192, -1)
    assert config.serving.extra_args == ("--metrics",)
    assert config.hosts == (Host("attic", "me@attic"),)
    assert config.devices == (
        DeviceConfig("RTX 5080", "pci:0000:01:00.0", layers=22, margin_bytes=1 << 30),
        DeviceConfig("RTX 3060", host="attic", via="worker", layers=17, budget_bytes=11 << 30),
    )
    assert config.theme == "paper"
    assert config.bell is True


def test_paths_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("MODELS", "/data")
    path = tmp_path / "c.toml"
    path.write_text('[model]\npath = "$MODELS/m.gguf"\n[llama-cpp]\nbin = "~/llama"\n')
    config = load(path)
    assert (config.model_path, config.llama_cpp_bin) == ("/data/m.gguf", "/home/me/llama")


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("[serving]\nctx-sze = 1\n", 2, "did you mean ctx-size?"),
        ("[servng]\nport = 1\n", 1, "did you mean serving?"),
        ("\n[serving]\n\nctx-size = 'abc'\n", 4, '[serving] ctx-size: found "abc", allowed: a whole number, 0 or more'),
        ("[serving]\nport = 70000\n", 2, "found 70000, allowed: a whole number, 0 to 65535"),
        ("[serving]\nport = true\n", 2, "found true"),
        ("[serving]\nflash-attn = 'yes'\n", 2, 'allowed: "on" or "off" or "auto"'),
        ("[serving]\nextra-args = ['-ts', '1']\n", 2, "-ts is set by hettui"),
        ("[serving]\napi-key = 's'\n", 2, "never stands in the configuration"),
        ("[[devices]]\nname = 'a'\n[[devices]]\nname = 'b'\nlayers = -1\n", 5, "[[devices]] layers: found -1"),
        ("[[devices]]\nname = 'a'\n[[devices]]\nname = 'a'\n", 4, 'the name "a" is taken'),
        ("[[devices]]\nname = 'a'\nhost = 'x'\n", 3, "add a [[hosts]]"),
        ("[[devices]]\nlayers = 3\n", 1, "name is missing"),
        ("[[devices]]\nname = 'a'\nid = 'gpu0'\n", 3, "pci:0000:01:00.0"),
        ("[[devices]]\nname = 'a'\nmargin = 'much'\n", 3, "512MiB"),
        ("[ui]\nbell = 1\n", 2, "[ui] bell: found 1, allowed: true or false"),
        ("[devices]\nname = 'a'\n", 1, "allowed: [[devices]]"),
        ("serving = 3\n", 1, "allowed: a table"),
        ("[serving\n", 1, "Expected"),
        ("[serving]\nport = 1\nport = 2\n", 3, ""),
        ("[serving]\nprt = 1\nhst = 2\n", 2, "(and 1 more)"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, text: str, line: int, says: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    sentence = str(caught.value)
    assert sentence.startswith(f"{path}:{line}: "), sentence
    assert says in sentence
    assert "\n" not in sentence
    assert caught.value.exit_code == 2


def test_what_is_no_configuration_at_all(tmp_path: Path) -> None:
    binary = tmp_path / "b.toml"
    binary.write_bytes(b"GGUF\xff\xfe\x00")
    for path, says in ((tmp_path / "none.toml", "hettui init"), (tmp_path, "cannot be read"), (binary, "not UTF-8")):
        with pytest.raises(ConfigError, match=says):
            load(path)


def plan(*named: tuple[str, int, bool]) -> Plan:
    devices = tuple(Device(name, locked=locked) for name, _, locked in named)
    return Plan(devices, Split(tuple(n for _, n, _ in named), sum(n for _, n, _ in named)))


def test_a_plan_is_written_back_and_nothing_else_changes(file: Path) -> None:
    save_plan(file, plan(("RTX 5080", 20, True), ("RTX 3060", 19, False)))
    text = file.read_text()
    expected = FULL.replace("layers = 22\n", "layers = 20\n").replace("layers = 17\n", "layers = 19\n")
    expected = expected.replace('margin = "1GiB"\n', 'margin = "1GiB"\nlocked = true\n')
    assert text == expected
    assert Path(f"{file}.bak").read_text() == FULL


def test_a_new_order_is_written_back(file: Path) -> None:
    save_plan(file, plan(("RTX 3060", 17, False), ("RTX 5080", 22, False)))
    config = load(file)
    assert [d.name for d in config.devices] == ["RTX 3060", "RTX 5080"]
    assert [d.layers for d in config.devices] == [17, 22]
    assert "# noisy" in file.read_text()
    assert config.theme == "paper"


def test_an_unchanged_plan_leaves_the_file_as_it_is(file: Path) -> None:
    save_plan(file, plan(("RTX 5080", 22, False), ("RTX 3060", 17, False)))
    assert file.read_text() == FULL


@settings(max_examples=examples.of(25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.permutations(["RTX 5080", "RTX 3060"]), st.integers(0, 99), st.integers(0, 99), st.booleans())
def test_saving_and_loading_keeps_all_that_was_not_named(
    tmp_path: Path, order: list[str], first: int, second: int, locked: bool
) -> None:
    path = tmp_path / "p.toml"
    path.write_text(FULL)
    before = load(path)
    save_plan(path, plan((order[0], first, locked), (order[1], second, False)))
    after = load(path)
    assert [(d.name, d.layers, d.locked) for d in after.devices] == [
        (order[0], first, locked),
        (order[1], second, False),
    ]
    same = ("model_path", "params", "serving", "hosts", "theme")
    assert [getattr(after, key) for key in same] == [getattr(before, key) for key in same]


def test_single_values_are_written(file: Path) -> None:
    save_values(file, {("ui", "theme"): "tide", ("model", "path"): "/m.gguf", ("llama-cpp", "bin"): "/opt"})
    config = load(file)
    assert (config.theme, config.model_path, config.llama_cpp_bin) == ("tide", "/m.gguf", "/opt")
    assert "# the good one" in file.read_text()


def test_a_crash_before_the_rename_leaves_the_old_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def plug(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", plug)
    with pytest.raises(ConfigError, match="No space left"):
        save_values(file, {("ui", "theme"): "tide"})
    assert file.read_text() == FULL
    assert sorted(p.name for p in file.parent.iterdir()) == ["c.toml"]


def test_a_link_is_written_through_and_permissions_stay(file: Path, tmp_path: Path) -> None:
    file.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    save_values(link, {("ui", "theme"): "tide"})
    assert link.is_symlink()
    assert load(file).theme == "tide"
    assert file.stat().st_mode & 0o777 == 0o640


def test_a_new_file_is_private(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "c.toml", FULL)
    assert (tmp_path / "new" / "c.toml").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("devices", [[], [DeviceConfig('odd "name" \\ \x1b', id="CUDA0"), DeviceConfig("b", id="cpu")]])
def test_the_commented_file_names_every_key_and_loads(tmp_path: Path, devices: list[DeviceConfig]) -> None:
    path = tmp_path / "c.toml"
    path.write_text(commented_config([d for d in devices if d.name.isprintable()], "/m.gguf"))
    config = load(path)
    assert config.model_path == "/m.gguf"
    assert config == Config(path=str(path), model_path="/m.gguf", devices=config.devices)
    text = path.read_text()
    for section in SECTIONS:
        assert f"[{section.name}]" in text
        assert all(f"{key.name} = " in text for key in section.keys)


def test_every_commented_default_is_the_real_one(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    text = commented_config([], None)
    lines = [line.removeprefix("# ") if " = " in line and "…" not in line else line for line in text.splitlines()]
    path.write_text("\n".join(line for line in lines if "[[" not in line).split("# Other machines")[0])
    assert load(path) == Config(path=str(path))


def test_supervision_and_the_ends_of_the_screen(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(
        "[supervision]\nrestarts = 3\nrestart-window = 100\nrestart-pause = 5\nload-timeout = 0\nstop-grace = 1\n"
        'answer-patience = 9\n[ui]\non-exit = "leave"\non-hangup = "stop"\n'
        '[[devices]]\nname = "a"\nid = "cpu"\nexpose = true\n'
    )
    config = load(path)
    restart = RestartPolicy(limit=3, window_s=100, first_pause_s=5)
    assert config.supervision == Supervision(restart, load_timeout_s=0, stop_grace_s=1, answer_patience_s=9)
    assert (config.on_exit, config.on_hangup) == ("leave", "stop")
    assert config.devices[0].expose


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[ui]\non-hangup = "ask"', 'found "ask", allowed: "stop" or "leave"'),
        ("[supervision]\nrestarts = -1", "allowed: a whole number, 0 to 100"),
        ("[supervision]\nrestart = 1", "did you mean restarts?"),
    ],
)
def test_wrong_supervision_is_explained(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert says in str(caught.value)


def test_folders_of_models_are_expanded_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISK", "/mnt/disk")
    path = tmp_path / "c.toml"
    path.write_text('[model]\nfolders = ["~/gguf", "$DISK/models", "beside"]\n')
    expected = (str(Path("~/gguf").expanduser()), "/mnt/disk/models", str(tmp_path / "beside"))
    assert load(path).model_folders == expected
    path.write_text('[model]\nfolders = "~/gguf"\n')
    with pytest.raises(ConfigError, match=r'folders: found "~/gguf", allowed: a list of folders'):
        load(path)


def test_a_section_is_taken_out_and_the_rest_stays_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text('# mine\n[draft] # small\nmodel = "d.gguf"\n\n[ui]\nbell = true # loud\n')
    drop_section(path, "draft")
    assert path.read_text() == "# mine\n[ui]\nbell = true # loud\n"
    drop_section(path, "draft")
    assert load(path).params.draft is None
