"""Models fetched from a hub on loopback: right bytes or a sentence, whatever the hub does."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from httpx import HTTPTransport

from hettui.adapters.library.fetch import Wanted, fetch
from hettui.adapters.library.hub_http import Hub, RemoteFile
from hettui.adapters.llama.gguf import HeaderReader, read_model
from hettui.domain.errors import HettuiError, ModelFileError
from hettui.domain.library.hub import RepoFile, read_name
from hettui.domain.units import GIB
from tests import fake_hub
from tests.fake_hub import FakeHub, serving
from tests.gguf_files import header, llama
from tests.patience import patience

REPO = "me/model-GGUF"
NAME = "model-Q4_K_M.gguf"
SEGMENT = 8 * 1024


@pytest.fixture(scope="module")
def model() -> bytes:
    head, size = header(*llama(blocks=1, vocabulary=32))
    return head + random.Random(7).randbytes(size)


OPEN: list[Hub] = []


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """What a test has opened."""
    yield
    while OPEN:
        OPEN.pop().close()


def hub_of(hub: FakeHub, token: str | None = None, tries: int = 6) -> Hub:
    """Without TLS, whose certificates take longer to read than all the rest."""
    OPEN.append(Hub(hub.url, token, sleep=lambda seconds: None, tries=tries, transport=HTTPTransport(verify=False)))
    return OPEN[-1]


def wanted_of(hub: FakeHub, folder: Path, data: bytes | None = None, *, size: bool = True) -> Wanted:
    data = hub.files[REPO][NAME] if data is None else data
    url = f"{hub.url}/{REPO}/resolve/main/{NAME}"
    return Wanted(url, folder / NAME, len(data) if size else None, sha256(data).hexdigest() if size else None)


def quiet(done: int, total: int) -> None:
    assert 0 <= done <= total


def test_a_file_comes_in_parts_side_by_side_and_gets_its_name_when_its_sum_is_right(
    model: bytes, tmp_path: Path
) -> None:
    seen: list[int] = []
    with serving(FakeHub({REPO: {NAME: model}})) as hub:
        wanted = wanted_of(hub, tmp_path / "new" / "deep")
        digest = fetch(hub_of(hub), wanted, lambda done, total: seen.append(done), segment_bytes=SEGMENT)
    assert wanted.target.read_bytes() == model
    assert digest == sha256(model).hexdigest()
    assert max(seen) == len(model)
    assert [p.name for p in wanted.target.parent.iterdir()] == [NAME]
    assert wanted.target.stat().st_mode & 0o777 == 0o600
    assert len([r for _, r, _ in hub.asked if r and r != "bytes=0-0"]) >= len(model) // SEGMENT
    assert read_model(wanted.target).architecture == "llama"


@pytest.mark.parametrize(("redirect", "ranges"), [(False, True), (True, False), (False, False)])
def test_without_a_store_and_without_ranges(redirect: bool, ranges: bool, model: bytes, tmp_path: Path) -> None:
    with serving(FakeHub({REPO: {NAME: model}}, redirect=redirect, ranges=ranges)) as hub:
        wanted = wanted_of(hub, tmp_path, size=False)
        fetch(hub_of(hub), wanted, quiet, segment_bytes=SEGMENT)
    assert wanted.target.read_bytes() == model


def test_what_has_arrived_is_not_fetched_again(model: bytes, tmp_path: Path) -> None:
    hang_up = [fake_hub.cut(0.0)] * 40
    with serving(FakeHub({REPO: {NAME: model}})) as hub:
        wanted = wanted_of(hub, tmp_path)
        first = [lambda *_: False, lambda *_: False, lambda *_: False, *hang_up]
        hub.faults = list(first)
        with pytest.raises(HettuiError, match=r"are kept: the same command goes on from there"):
            fetch(hub_of(hub, tries=2), wanted, quiet, parallel=1, segment_bytes=SEGMENT)
        assert wanted.part.exists()
        assert not wanted.target.exists()
        kept = hub.served_bytes
        hub.faults, hub.served_bytes = [], 0
        fetch(hub_of(hub), wanted, quiet, segment_bytes=SEGMENT)
        assert wanted.target.read_bytes() == model
        assert hub.served_bytes <= len(model) - 2 * SEGMENT + 1
        assert kept >= 2 * SEGMENT


FAULTS: dict[str, Callable[[random.Random], fake_hub.Fault]] = {
    "429": lambda r: fake_hub.busy(429, r.choice(["0", "1", None, "Wed, 21 Oct 2026 07:28:00 GMT"])),
    "503": lambda r: fake_hub.busy(r.choice([500, 502, 503, 504]), None),
    "cut": lambda r: fake_hub.cut(r.random()),
    "cut at once": lambda r: fake_hub.cut(0.0),
    "another range": lambda r: fake_hub.other_range(r.choice([-SEGMENT, -7, 9, SEGMENT])),
    "no range": lambda r: fake_hub.nonsense,
    "silent": lambda r: fake_hub.silent(0.02),
    "changed": lambda r: fake_hub.changed,
    "garbled": lambda r: fake_hub.garbled,
    "forbidden": lambda r: fake_hub.forbidden,
}


@pytest.mark.many
@pytest.mark.parametrize("seed", range(50))
def test_fifty_random_faults_end_in_the_right_bytes_or_in_a_sentence_with_the_part_kept(
    seed: int, model: bytes, tmp_path: Path
) -> None:
    dice = random.Random(seed)
    names = dice.choices(list(FAULTS), k=dice.randint(1, 6))
    print(f"seed {seed}: {names}")
    with serving(FakeHub({REPO: {NAME: model}})) as hub:
        wanted = wanted_of(hub, tmp_path)
        places = sorted(dice.choices(range(12), k=len(names)))
        faults: list[fake_hub.Fault] = [lambda *_: False] * 13
        for place, name in zip(places, names, strict=True):
            faults.insert(place, FAULTS[name](dice))
        hub.faults = faults
        ours = hub_of(hub, tries=3)
        for _ in range(len(names) + 1):
            try:
                fetch(ours, wanted, quiet, parallel=dice.randint(1, 4), segment_bytes=SEGMENT)
                break
            except HettuiError as error:
                said = str(error)
                assert NAME in said
                assert "\n" not in said
                assert not wanted.target.exists(), "what was fooled never counts as complete"
                at_once = hub.asked[-1][1] == "bytes=0-0"
                assert wanted.part.exists() or at_once
        else:
            pytest.fail("it did not come in the end")
    assert wanted.target.read_bytes() == model
    assert not wanted.part.exists()
    assert not wanted.record.exists()


def test_a_hub_that_lies_for_ever_is_never_believed(model: bytes, tmp_path: Path) -> None:
    with serving(FakeHub({REPO: {NAME: model}}, lies=bytes(len(model)))) as hub:
        wanted = wanted_of(hub, tmp_path)
        for _ in range(2):
            with pytest.raises(HettuiError, match="its sum differs"):
                fetch(hub_of(hub), wanted, quiet, segment_bytes=SEGMENT)
            assert not wanted.target.exists()
            assert wanted.part.exists()


def test_a_url_without_a_sum_must_at_least_be_a_model(tmp_path: Path) -> None:
    with serving(FakeHub({REPO: {NAME: b"<html>no model</html>" * 10}}, redirect=False)) as hub:
        hub.lies = hub.files[REPO][NAME]
        wanted = Wanted(f"{hub.url}/{REPO}/resolve/main/{NAME}", tmp_path / NAME)
        # The fake's ETag is a sum: without one nobody vouches for it.
        hub.faults = [fake_hub.unsigned] * 3
        with pytest.raises(ModelFileError, match="no GGUF file"):
            fetch(hub_of(hub), wanted, quiet)
        assert not wanted.target.exists()


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (lambda hub: setattr(hub, "token", "hf_x"), "HTTP 401.*HF_TOKEN"),
        (lambda hub: hub.files[REPO].clear(), "HTTP 404"),
        (lambda hub: setattr(hub, "faults", [fake_hub.busy(429, "0")] * 9), "busy .HTTP 429., 3 times"),
        (lambda hub: setattr(hub, "faults", [fake_hub.silent(0.01)] * 9), "3 times; try again later"),
    ],
)
def test_what_the_hub_refuses_is_a_sentence(prepare: object, says: str, model: bytes, tmp_path: Path) -> None:
    with serving(FakeHub({REPO: {NAME: model}})) as hub:
        wanted = wanted_of(hub, tmp_path)
        prepare(hub)  # type: ignore[operator]
        with pytest.raises(HettuiError, match=says):
            fetch(hub_of(hub, tries=3), wanted, quiet)
    with pytest.raises(HettuiError, match="is not reached"):
        fetch(hub_of(hub, tries=1), wanted, quiet)


def test_a_token_goes_to_the_hub_and_not_into_a_message(model: bytes, tmp_path: Path) -> None:
    with serving(FakeHub({REPO: {NAME: model}}, token="hf_secret")) as hub:  # noqa: S106 - a test's
        fetch(hub_of(hub, "hf_secret"), wanted_of(hub, tmp_path), quiet)
        with pytest.raises(HettuiError) as refused:
            fetch(hub_of(hub, "hf_wrong"), wanted_of(hub, tmp_path / "other"), quiet)
    assert "hf_wrong" not in str(refused.value)


def test_a_token_of_the_hub_is_not_given_to_another_address(model: bytes, tmp_path: Path) -> None:
    with serving(FakeHub({REPO: {NAME: model}})) as hub, serving(FakeHub({REPO: {NAME: model}})) as other:
        fetch(hub_of(hub, "hf_secret"), wanted_of(other, tmp_path), quiet)
    assert not hub.asked
    assert {authorization for _, _, authorization in other.asked} == {None}


def test_a_disk_without_room_is_told_before_a_byte_comes(model: bytes, tmp_path: Path) -> None:
    with serving(FakeHub({REPO: {NAME: model}})) as hub:
        with pytest.raises(HettuiError, match="are free where .* lies: free some space, or name another folder"):
            fetch(hub_of(hub), wanted_of(hub, tmp_path), quiet, free_bytes=lambda folder: GIB // 4)
        assert hub.served_bytes <= 1


def test_a_disk_that_fills_up_keeps_what_is_there(
    model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, count = os.pwrite, [0]

    def full(descriptor: int, data: bytes, offset: int) -> int:
        count[0] += 1
        if count[0] > 2:
            raise OSError(28, os.strerror(28))
        return real(descriptor, data, offset)

    with serving(FakeHub({REPO: {NAME: model}})) as hub:
        wanted = wanted_of(hub, tmp_path)
        monkeypatch.setattr(os, "pwrite", full)
        with pytest.raises(HettuiError, match="No space left"):
            fetch(hub_of(hub), wanted, quiet, parallel=1, segment_bytes=SEGMENT)
        monkeypatch.setattr(os, "pwrite", real)
        fetch(hub_of(hub), wanted, quiet, segment_bytes=SEGMENT)
    assert wanted.target.read_bytes() == model


def test_an_interrupt_keeps_what_is_there_and_waits_for_nobody(
    model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Ctrl-C does: the waiting is interrupted while other threads wait for their next try."""
    entered = threading.Event()
    with serving(FakeHub({REPO: {NAME: model}})) as hub:
        wanted = wanted_of(hub, tmp_path)
        hub.faults = [lambda *_: False, lambda *_: False, *([fake_hub.busy(429, "60")] * 50)]
        ours = Hub(hub.url, transport=HTTPTransport(verify=False))
        OPEN.append(ours)

        def waits(seconds: float) -> None:
            entered.set()
            ours.stop.wait(seconds)

        monkeypatch.setattr(ours, "_sleep", waits)

        def interrupted(*_: object, **__: object) -> None:
            assert entered.wait(patience(20))
            raise KeyboardInterrupt

        monkeypatch.setattr("hettui.adapters.library.fetch.wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch(ours, wanted, quiet, parallel=2, segment_bytes=SEGMENT)
        monkeypatch.undo()
        assert wanted.record.exists()
        hub.faults = []
        fetch(hub_of(hub), wanted, quiet, segment_bytes=SEGMENT)
    assert wanted.target.read_bytes() == model


def test_a_list_comes_in_pages_and_a_link_elsewhere_is_not_followed(model: bytes) -> None:
    files = {f"model-Q{n}_K_M.gguf": model for n in range(2, 7)} | {"README.md": b"x"}
    with serving(FakeHub({REPO: files}, page=2)) as hub:
        found = hub_of(hub).files(read_name(REPO))
        assert [f.path for f in found] == sorted(n for n in files if n.endswith("gguf"))
        assert found[0] == RepoFile("model-Q2_K_M.gguf", len(model), sha256(model).hexdigest())
        with pytest.raises(HettuiError, match=r"none/such: .*HTTP 404"):
            hub_of(hub).files(read_name("none/such"))


def test_a_header_is_read_from_afar_without_its_weights() -> None:
    head, size = header(*llama(blocks=4, vocabulary=40_000))
    data = head + bytes(size)
    with serving(FakeHub({REPO: {NAME: data}})) as hub:
        ours = hub_of(hub)
        url = f"{hub.url}/{REPO}/resolve/main/{NAME}"
        identity, _ = ours.identity(url, NAME)
        remote = RemoteFile(ours, url, identity, NAME)
        read = HeaderReader(Path(NAME), remote.pread, identity.size_bytes).read()
        assert len(read.tensors) == 10
        assert remote.fetched_bytes >= len(head)
        assert hub.served_bytes < 2 * len(head) + (2 << 20)
