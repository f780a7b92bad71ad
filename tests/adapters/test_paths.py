"""Where files belong, and what is remembered from one start to the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from hettui.adapters.files import paths
from hettui.domain.errors import HettuiError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))


def test_folders_follow_xdg_and_are_private(tmp_path: Path) -> None:
    assert paths.state_dir() == tmp_path / "state" / "hettui"
    assert paths.cache_dir() == tmp_path / "cache" / "hettui"
    assert paths.state_dir().stat().st_mode & 0o777 == 0o700
    assert paths.config_file() == tmp_path / "config" / "hettui" / "config.toml"
    assert not (tmp_path / "config").exists()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    with pytest.raises(HettuiError, match="cannot be made"):
        paths.state_dir()


def test_the_last_configuration_is_remembered_while_it_exists(tmp_path: Path) -> None:
    assert paths.last_config() is None
    config = tmp_path / "mine.toml"
    config.write_text("")
    paths.remember_config(config)
    assert paths.last_config() == config
    config.unlink()
    assert paths.last_config() is None
    (paths.state_dir() / "last-config").write_bytes(b"\xff\x00")
    assert paths.last_config() is None
