"""What the model picker and the welcome say of a model: rows and lines of plain text. Everything in it is clean."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from hettui.domain.library.fit import Fit, Outlook
from hettui.domain.library.found import ModelEntry, best_of, left_out
from hettui.domain.session.session import Session
from hettui.domain.text import clean_line, shorten_middle
from hettui.domain.units import UNKNOWN, figures, format_bytes, format_tokens
from hettui.services.library.search import Searched
from hettui.ui.drawing.gauges import Runs, fit

_SIZE, _QUANT, _CONTEXT = 8, 7, 5
_VERDICT, _WIDE_VERDICT = 19, 24
_PLACE, _RATE = 14, 9
_WIDE, _ULTRA = 108, 140
"""From so many cells on a row also says the speed, and where the model lies."""
GAP = "  "
HOW_TO_NAME = (
    "Type / or ~ to name a file, put files into ~/models, or name folders in the configuration: "
    '[model] folders = ["…"].'
)

_ROLES = {Fit.FITS: "ok", Fit.LESS_CONTEXT: "warn", Fit.OPEN: "", Fit.PARTLY_CPU: "warn", Fit.NOT: "crit"}


def verdict(entry: ModelEntry) -> tuple[str, str]:
    """In a few words, and the role that colours them. Where nothing is known yet: `…`."""
    outlook = entry.outlook
    if entry.problem:
        return f"! {entry.problem}", "crit"
    if outlook is None:
        return "…", "muted"
    split = outlook.plan.split
    words = {
        Fit.FITS: "fits",
        Fit.LESS_CONTEXT: f"fits with {format_tokens(outlook.ctx_size)}",
        Fit.OPEN: "no budget known",
        Fit.PARTLY_CPU: f"{split.host_layers} of {split.total_layers} on the CPU" if split.active else "all on the CPU",
        Fit.NOT: f"{format_bytes(outlook.short_bytes)} too large",
    }
    return words[outlook.fit], _ROLES[outlook.fit]


def columns(width: int) -> Runs:
    """The head of the list."""
    cells = _cells(width, "  model", "size", "quant", "ctx", "on these devices", "tok/s", "found in")
    return [(text, "muted") for text in cells]


def row(entry: ModelEntry, width: int, *, current: bool, under_cursor: bool) -> Runs:
    """One model: `▶ name  size  quant  context  verdict`, in exactly `width` cells."""
    words, role = verdict(entry)
    facts, outlook = entry.facts, entry.outlook
    mark = "▶ " if under_cursor else "• " if current else "  "
    if entry.problem:
        # The reason takes the place of everything that is not known for it.
        cells = _cells(width, mark + entry.model.name, format_bytes(entry.model.size_bytes or None))
        room = max(0, width - sum(cell_len(cell) for cell in cells) - len(GAP))
        said = words if cell_len(words) <= room else set_cell_size(words, max(0, room - 1)) + "…" * (room > 0)
        return [(cells[0], "muted"), (cells[1], ""), (GAP + set_cell_size(said, room), role)]
    cells = _cells(
        width,
        mark + entry.model.name,
        format_bytes(entry.model.size_bytes or None),
        facts.quantisation if facts else "",
        format_tokens(facts.trained_tokens) if facts else "",
        words,
        f"{outlook.decode_tps:.1f}" if outlook and outlook.decode_tps else UNKNOWN,
        entry.model.place,
    )
    roles = ["", "", "muted", "", role, "", "muted"]
    return list(zip(cells, roles, strict=False))


def _cells(
    width: int,
    name: str,
    size: str,
    quant: str = "",
    context: str = "",
    words: str | None = None,
    rate: str = "",
    place: str = "",
) -> list[str]:
    """Columns that line up, each behind the first with its gap; without `words` only the first two."""
    wide = width >= _WIDE
    verdict_room = _WIDE_VERDICT if wide else _VERDICT
    fixed = [(size, _SIZE, True), (quant, _QUANT, False), (context, _CONTEXT, True), (words or "", verdict_room, False)]
    fixed += [(rate, _RATE, True)] if wide else []
    fixed += [(place, _PLACE, False)] if width >= _ULTRA else []
    name_room = width - sum(room + len(GAP) for _, room, _ in fixed)
    cells = [fit(name, max(0, name_room))]
    fixed = fixed if words is not None else fixed[:1]
    for text, room, right in fixed:
        text = text if len(text) <= room else text[: room - 1] + "…"
        cells.append(GAP + (text.rjust(room) if right else fit(text, room)))
    return cells


def details(entry: ModelEntry, width: int) -> list[str]:
    """Three lines: where it is, what it is, and what the planner says of it; or where it is, and what is wrong."""
    model, facts = entry.model, entry.facts
    parts = f"  ({model.parts} parts)" if model.parts > 1 else ""
    path = shorten_middle(clean_line(model.path), max(10, width - len(parts))) + parts
    if entry.problem:
        return [path, entry.problem]
    if facts is None:
        return [path, model.place, "its header has not been read yet"]
    trained = f"{facts.trained_tokens:,}" if facts.trained_tokens else UNKNOWN
    words = f"{facts.vocabulary:,}" if facts.vocabulary else UNKNOWN
    place = f"{model.place}: {model.repository}" if model.repository else model.place
    said = [f"{facts.architecture}, {facts.blocks} blocks", f"vocabulary {words}", place]
    said.append(f"trained for {trained} tokens")
    return [path, _as_fits(said, width), outlook_in_words(entry, width)]


def _as_fits(parts: Sequence[str], width: int) -> str:
    """As many parts as fit, the first always."""
    line = parts[0]
    for part in parts[1:]:
        if len(line) + 3 + len(part) > width:
            break
        line += f" · {part}"
    return line


def outlook_in_words(entry: ModelEntry, width: int) -> str:
    """The plan, the contexts and the speed, as much as fits in a line."""
    outlook = entry.outlook
    if outlook is None:
        return "its plan has not been made yet"
    parts = [_plan_in_words(outlook)]
    if entry.largest_ctx is not None:
        parts.append(f"up to {entry.largest_ctx:,} tokens would fit")
    elif not entry.asked and outlook.fit is Fit.FITS:
        parts.append("up to … tokens would fit")
    if outlook.decode_tps is not None:
        parts.append(f"about {figures(outlook.decode_tps)} ± {figures(outlook.decode_off_tps, 2)} tok/s")
    if outlook.fit is not Fit.NOT:
        held = zip(outlook.plan.devices, outlook.plan.split.layers, strict=True)
        shares = [f"{shorten_middle(clean_line(d.name), 20)} {n}" for d, n in held if n]
        parts += ["layers: " + ", ".join(shares)] if shares else []
    return _as_fits(parts, width)


def _plan_in_words(outlook: Outlook) -> str:
    context = f"{outlook.ctx_size:,} tokens of context"
    split = outlook.plan.split
    match outlook.fit:
        case Fit.NOT:
            return f"short of {format_bytes(outlook.short_bytes)} with {context}, this machine's memory included"
        case Fit.PARTLY_CPU:
            part = f"{split.host_layers} of {split.total_layers}" if split.active else "all"
            return f"{part} layers stay on the CPU with {context}"
        case Fit.OPEN:
            return f"whether it fits is open with {context}: a device has no known budget"
    return f"fits with {context}"


def state(entries: int, searched: Searched) -> str:
    """What is being done, and what was left out."""
    parts = [f"{entries} model{'s' * (entries != 1)}"]
    if searched.looking:
        parts.append("looking in " + ", ".join(searched.looking))
    if searched.left_out:
        parts.append(left_out(searched.left_out))
    parts += [clean_line(note, 200) for note in searched.notes]
    return " · ".join(parts)


def nothing_found(searched: Searched) -> str:
    """Instead of an empty list: where was looked and what can be done."""
    places = ", ".join(searched.places)
    if searched.looking:
        return f"Looking for model files in {places} …"
    also = f" Only {left_out(searched.left_out).partition(': ')[2]}." if searched.left_out else ""
    return f"No model files were found in {places}.{also}\n\n{HOW_TO_NAME}"


# -- the welcome -------------------------------------------------------------------------------------------


def engine_in_words(session: Session) -> str:
    """Which llama.cpp was found and where, or how to get one."""
    if session.cluster is None:
        return session.problem or "not found"
    engine = session.cluster.engine
    version = engine.version.removeprefix("version:").strip()
    named = f"{engine.server.parent}, {engine.source}" + (f", version {version}" if version else "")
    worker = "" if engine.rpc_server else "; without an rpc server: other hosts and CPU workers cannot be used"
    return clean_line(named + worker, 300)


def hardware_in_words(session: Session) -> list[str]:
    """What drivers refuse, which must not be cut off; one line for each device with its free memory, the CPU's last."""
    lines = [f"! {clean_line(reason, 300)}" for reason in session.refused]
    for entry in session.hardware:
        unseen = "" if entry.engine_name else f"  ({entry.trouble or 'this llama.cpp build does not list it'})"
        memory = f"{format_bytes(entry.free_bytes)} free of {format_bytes(entry.total_bytes)}"
        lines.append(f"{shorten_middle(clean_line(entry.name), 36)}, {memory}{unseen if session.cluster else ''}")
    return lines or [f"{UNKNOWN}: no driver told of any; hettui devices says more"]


_BEST = {
    Fit.FITS: "the largest that fits",
    Fit.OPEN: "the largest",
    Fit.LESS_CONTEXT: "the largest that fits, with less context",
    Fit.PARTLY_CPU: "the largest that fits with the CPU's help",
}


def models_in_words(entries: Sequence[ModelEntry], searched: Searched) -> str:
    """How many, and the best that fits."""
    usable = [entry for entry in entries if entry.problem is None]
    if not usable:
        return nothing_found(searched).partition("\n")[0]
    best = best_of(usable)
    count = f"{len(usable)} found" + (f", still looking in {', '.join(searched.looking)}" if searched.looking else "")
    if best is None or best.outlook is None:
        pending = any(entry.outlook is None for entry in usable)
        return f"{count}; " + ("being judged …" if pending else "none fits, not even with the CPU's help")
    words = _BEST[best.outlook.fit] if best.outlook.plan.split.active else "the largest that fits, on the CPU"
    return f"{count}; {words}: {best.model.name}, {format_bytes(best.model.size_bytes)}"
