"""`hettui models`: what is here and at a hub, judged for these devices; fetched, verified, removed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

from hettui.adapters.files.bounded import read_text_file
from hettui.adapters.files.config_toml import load
from hettui.adapters.files.fetched_file import Fetched, load_fetched, save_fetched
from hettui.adapters.files.paths import cache_path, config_file, last_config, memory_dir, state_dir
from hettui.adapters.library.fetch import Wanted, fetch, file_sha256
from hettui.adapters.library.finder import ModelFiles
from hettui.adapters.library.hub_http import Hub, RemoteFile
from hettui.adapters.library.places import FETCHED
from hettui.adapters.llama.gguf import HeaderReader, joined_headers, read_model
from hettui.domain.config.values import Config
from hettui.domain.errors import HettuiError, ModelFileError, UsageError
from hettui.domain.library.fit import Surroundings, judge, largest_context
from hettui.domain.library.found import Kind, kind_of, no_model
from hettui.domain.library.hub import (
    ENDPOINT_VARIABLES,
    Named,
    Quant,
    RepoFile,
    Repository,
    chosen,
    endpoint_of,
    projector_for,
    read_name,
    repository_of,
)
from hettui.domain.library.offers import Offer
from hettui.domain.model.header import ModelFile
from hettui.domain.model.shape import ModelShape
from hettui.domain.planner.learned import Learned
from hettui.domain.records import dataclass
from hettui.domain.session.session import Session
from hettui.domain.text import clean_line
from hettui.wiring.sessions import open_session

_TOKEN_BYTES = 4096
Tell = Callable[[str, int, int], None]
"""What is being done, bytes that are there, bytes of all."""


@dataclass(frozen=True, slots=True)
class Got:
    """One fetched file."""

    path: str
    sha256: str | None
    """None: nobody says what it must be."""


def config_for(config_path: str | None) -> Config:
    """This configuration, else the one used last, else none. Raises ConfigError."""
    path = Path(config_path) if config_path else last_config() or config_file()
    return load(path) if config_path or path.exists() else Config()


def session_for(config_path: str | None, ctx_size: int | None = None) -> Session:
    """The devices that models are judged for; the configured model itself is not needed."""
    config = config_for(config_path)
    params = config.params if ctx_size is None else replace(config.params, ctx_size=ctx_size)
    return open_session(replace(config, model_path=None, params=params))


@contextmanager
def hub(named: Named) -> Iterator[Hub]:
    """As the environment says; the URL of one file needs none. Raises UsageError."""
    said = named.url is None or any(os.environ.get(name) for name in ENDPOINT_VARIABLES)
    made = Hub(endpoint_of(os.environ) if said else "", token())
    try:
        yield made
    finally:
        made.close()


def token() -> str | None:
    """HF_TOKEN, else the file that HF_TOKEN_PATH names, else the one that the hub's own tool has written."""
    if said := os.environ.get("HF_TOKEN", "").strip():
        return said
    home = os.environ.get("HF_HOME") or str(Path.home() / ".cache/huggingface")
    for path in filter(None, (os.environ.get("HF_TOKEN_PATH"), str(Path(home) / "token"))):
        with suppress(OSError, ValueError):
            words = read_text_file(path, _TOKEN_BYTES).split()
            if words and words[0].isprintable():
                return words[0]
    return None


# -- what there is -----------------------------------------------------------------------------------------


def local_offers(session: Session) -> list[Offer]:
    """Every model that is found on this machine, the best first. Blocks."""
    finder = ModelFiles(Path.home(), os.environ, cache_path())
    around, learned, found, seen = session.surroundings, session.learned, [], set()
    for place in finder.places(session.config.model_folders, session.config.model_path):
        for model in finder.look(place, lambda: False, lambda note: None):
            if model.identities and model.identities in seen:
                continue
            seen.add(model.identities)
            offer = Offer(model.name, model.size_bytes, problem=model.problem or "", path=model.path)
            if model.problem is None:
                judged = _judged(offer, partial(read_model, model.path), around, learned)
                if judged is None:
                    continue
                offer = judged
            found.append(offer)
    order = [one for one in found if one.outlook is not None]
    order.sort(key=lambda one: (int(one.outlook.fit) if one.outlook else 9, -one.size_bytes))
    return order + [one for one in found if one.outlook is None]


def file_offers(paths: Sequence[str], session: Session) -> list[Offer]:
    """These files. Raises ModelFileError for what is no model."""
    found = []
    for path in paths:
        file = read_model(path)
        offer = _judged(
            Offer(Path(path).name, file.file_bytes, path=path),
            partial(read_model, path),
            session.surroundings,
            session.learned,
        )
        if offer is None:
            raise ModelFileError(f"{clean_line(path, 200)} is no model of its own")
        found.append(offer)
    return found


def hub_offers(named: Named, session: Session, tell: Tell) -> tuple[Repository, list[Offer]]:
    """What a repository offers, judged by headers that are read from afar. Blocks. Raises HettuiError."""
    with hub(named) as ours:
        repository = repository_of(named.repo, ours.files(named))
        found = []
        for number, quant in enumerate(repository.quants):
            tell(f"reading the header of {quant.tag}", number, len(repository.quants))
            found.append(_remote_offer(ours, named, quant, session))
    if not found:
        chosen(repository, None)
    return repository, found


def _remote_offer(ours: Hub, named: Named, quant: Quant, session: Session) -> Offer:
    offer = Offer(quant.tag, quant.size_bytes)

    def header() -> ModelFile:
        headers, names = [], []
        for file in quant.files:
            remote, size = _remote(ours, ours.url_of(named, file), file)
            headers.append(HeaderReader(Path(file.path), remote.pread, size).read())
            names.append(Path(file.path))
        return joined_headers(names, headers)

    judged = _judged(offer, header, session.surroundings, session.learned)
    return judged or replace(offer, problem="no model of its own")


def _remote(ours: Hub, url: str, file: RepoFile) -> tuple[RemoteFile, int]:
    identity, ranges = ours.identity(url, file.path)
    if not ranges:
        raise HettuiError(
            f"{clean_line(file.path, 160)}: the hub gives no ranges: it can only be judged once it is here"
        )
    return RemoteFile(ours, url, identity, file.path), identity.size_bytes


def _judged(offer: Offer, header: Callable[[], ModelFile], around: Surroundings, learned: Learned) -> Offer | None:
    """None for what is no model: a projector, an adapter."""
    try:
        shape = ModelShape.of(header())
        if kind_of(shape.file) is not Kind.MODEL:
            return None
        if problem := no_model(shape):
            return replace(offer, problem=problem)
        return replace(offer, outlook=judge(shape, around, learned), largest_ctx=largest_context(shape, around))
    except HettuiError as error:
        return replace(offer, problem=clean_line(str(error), 300))


# -- fetching ----------------------------------------------------------------------------------------------


def default_folder(named: Named) -> Path:
    """Where a fetched model is kept: where the picker looks, in a folder of its repository."""
    if named.url is not None:
        return cache_path() / FETCHED / "urls" / "models"
    return cache_path() / FETCHED / named.repo


def fetch_model(text: str, to: str | None, *, projector: bool, parallel: int, tell: Tell) -> list[Got]:
    """The model with all its parts, and the projector that goes with it. Blocks. Raises HettuiError."""
    named = read_name(text)
    folder = Path(os.path.abspath(Path(to).expanduser())) if to else default_folder(named)  # noqa: PTH100
    with hub(named) as ours:
        got = []
        for wanted in _wanted(ours, named, folder, projector=projector):
            name = wanted.target.name
            if _is_here(wanted):
                got.append(Got(str(wanted.target), wanted.sha256))
                continue
            digest = fetch(ours, wanted, partial(tell, name), parallel=parallel)
            got.append(Got(str(wanted.target), digest))
            _note(str(wanted.target), named, digest)
    return got


def _wanted(ours: Hub, named: Named, folder: Path, *, projector: bool) -> list[Wanted]:
    if named.url is not None:
        return [Wanted(named.url, folder / clean_name(named.url))]
    repository = repository_of(named.repo, ours.files(named))
    files = list(chosen(repository, named.quant).files)
    tower = projector_for(repository) if projector else None
    files += [tower] if tower else []
    return [
        Wanted(ours.url_of(named, file), folder / file.path.rpartition("/")[2], file.size_bytes, file.sha256)
        for file in files
    ]


def clean_name(url: str) -> str:
    """The file's name of a URL, without what a file system should not get."""
    name = url.partition("?")[0].rpartition("/")[2]
    return "".join(c if c.isalnum() or c in "._-+" else "_" for c in name).lstrip(".") or "model.gguf"


def _is_here(wanted: Wanted) -> bool:
    """The very file, by its record and its size: nothing is read again for it."""
    known = load_fetched(memory_dir()).get(str(wanted.target))
    with suppress(OSError):
        size = wanted.target.stat().st_size
        return known is not None and known.sha256 == wanted.sha256 is not None and size == wanted.size_bytes
    return False


def _note(path: str, named: Named, digest: str | None) -> None:
    known = load_fetched(memory_dir())
    known[path] = Fetched(named.repo or (named.url or "").partition("?")[0], Path(path).stat().st_size, digest)
    with suppress(OSError, HettuiError):
        save_fetched(state_dir(), known)


# -- keeping -----------------------------------------------------------------------------------------------


def verify(path: str, tell: Tell) -> str:
    """What was found well, in words. Blocks: the whole file is read. Raises ModelFileError for what is not well."""
    model = read_model(path)
    said, known = [], load_fetched(memory_dir())
    for part in model.paths:
        where = os.path.abspath(part)  # noqa: PTH100 - links stay as they are
        expected = known.get(where)
        if expected is None or expected.sha256 is None:
            said.append(f"{clean_line(part, 200)}: header and tensors are sound; its sum is not known here")
        elif file_sha256(Path(part), partial(tell, Path(part).name)) == expected.sha256:
            said.append(f"{clean_line(part, 200)}: header, tensors and sum are right")
        else:
            raise ModelFileError(
                f"{clean_line(part, 200)}: its sum is not the one that it was fetched with: fetch it again"
            )
    return "\n".join(said)


def remove(path: str, *, force: bool) -> list[str]:
    """The files that were removed: all parts of a split model. Raises UsageError for what hettui has not fetched."""
    try:
        paths = list(read_model(path).paths)
    except ModelFileError:
        paths = [path]
    known = load_fetched(memory_dir())
    foreign = [p for p in paths if os.path.abspath(p) not in known]  # noqa: PTH100
    if foreign and not force:
        raise UsageError(f"{clean_line(foreign[0], 200)} was not fetched by hettui: --force removes it all the same")
    if not all(p.lower().endswith(".gguf") for p in paths):
        raise UsageError(f"{clean_line(path, 200)} is no .gguf file: it is left as it is")
    for one in paths:
        try:
            Path(one).unlink()
        except OSError as error:
            raise HettuiError(f"{clean_line(one, 200)} cannot be removed: {error.strerror}") from None
        known.pop(os.path.abspath(one), None)  # noqa: PTH100
        with suppress(OSError, HettuiError):
            save_fetched(state_dir(), known)
    return paths
