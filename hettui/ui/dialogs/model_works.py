"""What can be done with models from the picker, by key: each is what `hettui models …` does."""

from __future__ import annotations

from functools import partial

from hettui.domain.library.found import ModelEntry
from hettui.domain.session.session import Session
from hettui.domain.text import clean_line
from hettui.services.model_desk import ModelDesk
from hettui.ui.dialogs.model_work import Work

_NAME_CHARS = 60
_USUAL_TYPE = "Q4_K_M"


def work(kind: str, desk: ModelDesk, session: Session, entry: ModelEntry | None) -> Work | None:
    """None where no model is chosen that it could be done with."""
    path = "" if entry is None else entry.model.path
    name = "" if entry is None else clean_line(entry.model.name, _NAME_CHARS)
    if kind == "fetch":
        return Work(
            "Fetch a model",
            "user/repo:QUANT as at the hub, or a URL; --to FOLDER for another place. What was broken off goes on.",
            partial(desk.fetch, session, path),
        )
    if kind == "convert":
        return Work(
            "Convert a model's folder to GGUF",
            "A folder with config.json and its weights; --outtype bf16, --python FILE for one with torch, --to FILE.",
            partial(desk.convert, session, path),
        )
    if entry is None:
        return None
    if kind == "quantize":
        return Work(
            f"Quantise {name}",
            "A type of llama-quantize: Q4_K_M, Q5_K_M, Q6_K, Q8_0 …; --imatrix FILE, --allow-requantize, --to FILE.",
            partial(desk.quantize, session, path),
            typed=_USUAL_TYPE,
        )
    if kind == "verify":
        says = "The header, every tensor's place, and the sum of the whole file where one is known."
        return Work(f"Verify {name}", says, partial(desk.verify, session, path), asks=False)
    return Work(
        f"Remove {name}",
        f"{clean_line(path, 300)} is deleted, with all its parts.",
        partial(desk.remove, session, path),
        asks=False,
        again="--force",
    )
