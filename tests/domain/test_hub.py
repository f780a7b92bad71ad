"""Names of models at a hub, what a repository holds, and what is advised."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hettui.domain.errors import UsageError
from hettui.domain.library.fetching import (
    Identity,
    Progress,
    content_range,
    joined,
    read_progress,
    retry_after_s,
)
from hettui.domain.library.fit import Fit, Outlook
from hettui.domain.library.hub import (
    Named,
    RepoFile,
    chosen,
    endpoint_of,
    file_path,
    files_in,
    projector_for,
    read_name,
    repository_of,
    tag_of,
    tree_path,
)
from hettui.domain.library.offers import Offer, advice_text, advised, offers_json, offers_text
from hettui.domain.plan.plan import Plan
from hettui.domain.plan.split import Split
from hettui.domain.units import GIB


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("ggml-org/gpt-oss-20b-GGUF", Named("ggml-org/gpt-oss-20b-GGUF")),
        ("hf.co/me/m:Q4_K_M", Named("me/m", "Q4_K_M")),
        ("me/m:UD-Q4_K_XL@v1.2", Named("me/m", "UD-Q4_K_XL", "v1.2")),
        ("http://127.0.0.1:8080/x/m.gguf?a=b", Named("", url="http://127.0.0.1:8080/x/m.gguf?a=b")),
    ],
)
def test_names(text: str, named: Named) -> None:
    assert read_name(text) == named


@pytest.mark.parametrize(
    "text",
    [
        "",
        "m",
        "me/",
        "me/m:",
        "../m",
        "me/../x",
        "me/m/x",
        "-x/m",
        "http://u:p@h/m.gguf",
        "http://h/m.bin",
        "me/m x",
        "me/m?x",
    ],
)
def test_what_is_no_name_is_a_sentence(text: str) -> None:
    with pytest.raises(UsageError):
        read_name(text)


def test_the_endpoint_is_llama_cpps_unless_the_environment_names_another() -> None:
    with pytest.raises(UsageError, match="no hub is named: HF_ENDPOINT="):
        endpoint_of({})
    assert endpoint_of({"HF_ENDPOINT": "http://box:8080/"}) == "http://box:8080"
    assert endpoint_of({"HF_ENDPOINT": "http://a", "MODEL_ENDPOINT": "http://b"}) == "http://b"
    for odd in ("box", "ftp://x", "http://x?y"):
        with pytest.raises(UsageError, match="HF_ENDPOINT="):
            endpoint_of({"HF_ENDPOINT": odd})


def entry(path: object, size: object = 5, **more: object) -> dict[str, object]:
    return {"type": "file", "path": path, "size": size, **more}


def test_a_hubs_list_is_not_believed() -> None:
    good = "a" * 64
    listing = [
        entry("m-Q4_K_M.gguf", 10, lfs={"oid": good, "size": 99}), entry("../../etc/x.gguf"),
        entry("/x.gguf"), entry("a/../x.gguf"),
        entry(".ssh/x.gguf"), entry("x\x1b.gguf"), entry("m.txt"), entry(7), entry("z.gguf", -1),
        entry("z.gguf", "big"),
        entry("y.gguf", 5, lfs={"oid": "short"}), "odd", {"type": "directory", "path": "d.gguf"},
        entry("b/c/d/e/f.gguf"),
    ]  # fmt: skip
    assert files_in(listing) == [RepoFile("m-Q4_K_M.gguf", 99, good), RepoFile("y.gguf", 5)]
    assert files_in({"error": "x"}) == []


@pytest.mark.parametrize(
    ("path", "tag"),
    [
        ("Qwen3-8B-Q4_K_M.gguf", "Q4_K_M"),
        ("UD-IQ2_XXS/x-UD-IQ2_XXS", "UD-IQ2_XXS"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("BF16/model", "BF16"),
        ("model-q8_0.gguf", "Q8_0"),
        ("plain.gguf", "plain"),
    ],
)
def test_the_quantisation_of_a_files_name(path: str, tag: str) -> None:
    assert tag_of(path) == tag


def repo() -> list[RepoFile]:
    parts = [RepoFile(f"Q8_0/m-Q8_0-0000{n}-of-00002.gguf", 50) for n in (1, 2)]
    return [
        *parts, RepoFile("m-Q4_K_M.gguf", 40), RepoFile("m-Q2_K.gguf", 20), RepoFile("mmproj-f32.gguf", 9),
        RepoFile("mmproj-model-f16.gguf", 5), RepoFile("m.imatrix.gguf", 1), RepoFile("m-BF16-00001-of-00003.gguf", 70),
    ]  # fmt: skip


def test_parts_are_one_quantisation_projectors_stand_apart_and_what_is_not_whole_is_told() -> None:
    found = repository_of("me/m", repo())
    assert [(q.tag, q.size_bytes, len(q.files)) for q in found.quants] == [
        ("Q2_K", 20, 1),
        ("Q4_K_M", 40, 1),
        ("Q8_0", 100, 2),
    ]
    assert [f.path for f in found.quants[2].files] == sorted(f.path for f in found.quants[2].files)
    assert found.incomplete == ("m-BF16: 1 of 3 parts",)
    tower = projector_for(found)
    assert tower is not None
    assert tower.path == "mmproj-model-f16.gguf"


def test_what_is_taken_when_nobody_says_which() -> None:
    found = repository_of("me/m", repo())
    assert chosen(found, None).tag == "Q4_K_M"
    assert chosen(found, "q8_0").tag == "Q8_0"
    with pytest.raises(UsageError, match="did you mean Q4_K_M"):
        chosen(found, "Q4_K_S")
    assert chosen(repository_of("me/m", [RepoFile("a.gguf", 1)]), None).tag == "a"
    with pytest.raises(UsageError, match="no GGUF model that is whole: m-BF16: 1 of 3 parts"):
        chosen(repository_of("me/m", repo()[-1:]), None)


def test_questions_are_quoted() -> None:
    named = Named("me/m", revision="a/b")
    assert tree_path(named) == "/api/models/me/m/tree/a%2Fb?recursive=true"
    assert file_path(named, RepoFile("Q8_0/a b.gguf", 1)) == "/me/m/resolve/a%2Fb/Q8_0/a%20b.gguf"


# -- a fetch's record --------------------------------------------------------------------------------------

RANGES = st.lists(
    st.tuples(st.integers(0, 90), st.integers(1, 30)).map(lambda p: (p[0], min(100, p[0] + p[1]))), max_size=12
)


@given(RANGES, st.integers(1, 40))
def test_what_is_there_and_what_is_missing_are_the_whole(ranges: list[tuple[int, int]], segment: int) -> None:
    progress = Progress(Identity(100, "e"))
    for begin, end in ranges:
        progress = progress.with_range(begin, end)
    there = {n for begin, end in progress.done for n in range(begin, end)}
    missing = [n for begin, end in progress.missing(segment) for n in range(begin, end)]
    assert there == {n for begin, end in ranges for n in range(begin, end)}
    assert sorted([*there, *missing]) == list(range(100))
    assert all(0 < end - begin <= segment for begin, end in progress.missing(segment))
    assert progress.done_bytes == len(there)
    assert progress.complete is (len(there) == 100)
    assert read_progress(progress.as_json()) == progress
    assert joined(reversed(progress.done)) == progress.done


@pytest.mark.parametrize(
    "data",
    [None, [], {}, {"size": 5, "etag": "", "done": [[3, 9]]}, {"size": 5, "etag": 1, "done": []},
    {"size": -1, "etag": "", "done": []},
     {"size": 5, "etag": "", "done": [[2, 2]]}, {"size": 5, "etag": "", "done": [[True, 2]]},
     {"size": 5, "etag": "", "done": ["ab"]}],
)  # fmt: skip
def test_a_damaged_record_counts_as_none(data: object) -> None:
    assert read_progress(data) is None


def test_headers_of_ranges() -> None:
    assert content_range("bytes 0-0/10") == (0, 1, 10)
    for odd in (None, "", "bytes */10", "bytes 5-2/10", "bytes 0-10/10", "items 0-1/10", "bytes 0-1/*", "bytes -1-2/3"):
        assert content_range(odd) is None
    assert (retry_after_s("7", 60), retry_after_s("700", 60), retry_after_s("soon", 60), retry_after_s(None, 60)) == (
        7,
        60,
        None,
        None,
    )
    assert Identity(5, "a").same_as(Identity(5, ""))
    assert not Identity(5, "a").same_as(Identity(5, "b"))
    assert not Identity(5).same_as(Identity(6))


# -- advice ------------------------------------------------------------------------------------------------


def offer(name: str, gib: int, fit: Fit | None, **more: object) -> Offer:
    outlook = None if fit is None else Outlook(fit, Plan((), Split((), 0)), 32768, GIB if fit is Fit.NOT else 0, 41.0)
    return Offer(name, gib * GIB, outlook, **more)  # type: ignore[arg-type]


def test_the_largest_that_fits_whole_is_advised() -> None:
    offers = [
        offer("Q2_K", 10, Fit.FITS), offer("Q4_K_M", 18, Fit.FITS, largest_ctx=65536),
        offer("Q5_K_M", 21, Fit.LESS_CONTEXT),
        offer("Q8_0", 30, Fit.NOT), offer("odd", 1, None, problem="a header\x1b[2J that is none"),
    ]  # fmt: skip
    best = advised(offers)
    assert best is not None
    assert best.name == "Q4_K_M"
    assert advice_text(offers, 32768, "hettui models fetch me/m:").endswith(
        "is Q4_K_M: hettui models fetch me/m:Q4_K_M"
    )
    assert "None of them fits whole" in advice_text(offers[2:], 32768, "")
    text = offers_text(offers)
    assert "32k of 64k" in text
    assert "does not fit, short by 1.0 GiB" in text
    assert "\x1b" not in text
    assert [one["fit"] for one in offers_json(offers)] == ["fits", "fits", "less_context", "not", None]
