"""Models that could be run here, judged: a hub's quantisations before a byte of weights is fetched, and files."""

from __future__ import annotations

from collections.abc import Sequence

from hettui.domain.library.fit import Fit, Outlook
from hettui.domain.records import dataclass
from hettui.domain.tables import table
from hettui.domain.text import clean_line, shorten_middle
from hettui.domain.units import UNKNOWN, figures, format_bytes, format_tokens

_WORDS = {
    Fit.FITS: "fits", Fit.LESS_CONTEXT: "fits with less context", Fit.OPEN: "open: a budget is not known",
    Fit.PARTLY_CPU: "partly on the CPU", Fit.NOT: "does not fit",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Offer:
    """One model, or one quantisation of it."""

    name: str
    """`Q4_K_M`, or a file's name."""
    size_bytes: int
    outlook: Outlook | None = None
    largest_ctx: int | None = None
    problem: str = ""
    """Why nothing is known of it, in words."""
    path: str = ""
    """Of a file on this machine."""

    @property
    def fits(self) -> bool:
        """All of it on the devices, with the context that was asked for."""
        return self.outlook is not None and self.outlook.fit is Fit.FITS

    @property
    def words(self) -> str:
        if self.problem or self.outlook is None:
            return self.problem or UNKNOWN
        short = f", short by {format_bytes(self.outlook.short_bytes)}" if self.outlook.short_bytes else ""
        return f"{_WORDS[self.outlook.fit]}{short}"


def advised(offers: Sequence[Offer]) -> Offer | None:
    """The largest that fits whole with the context that was asked for: more bits are a better model."""
    return max((one for one in offers if one.fits), key=lambda one: one.size_bytes, default=None)


def offers_text(offers: Sequence[Offer]) -> str:
    """In their order."""
    rows = [("model", "size", "context", "tok/s", "")]
    for one in offers:
        seen = one.outlook
        speed = UNKNOWN if seen is None or seen.decode_tps is None else f"~{figures(seen.decode_tps)}"
        context = "" if seen is None or seen.fit is Fit.NOT else format_tokens(seen.ctx_size)
        most = f" of {format_tokens(one.largest_ctx)}" if one.largest_ctx and context else ""
        name = shorten_middle(clean_line(one.name), 48)
        rows.append(
            (name, format_bytes(one.size_bytes), (context + most) or UNKNOWN, speed, clean_line(one.words, 200))
        )
    return "\n".join(table(rows))


def offers_json(offers: Sequence[Offer]) -> list[dict[str, object]]:
    """Sizes in bytes, contexts in tokens."""
    return [
        {
            "name": one.name,
            "path": one.path or None,
            "size_bytes": one.size_bytes,
            "fit": None if one.outlook is None else one.outlook.fit.name.lower(),
            "short_bytes": None if one.outlook is None else one.outlook.short_bytes,
            "ctx_size": None if one.outlook is None else one.outlook.ctx_size,
            "largest_ctx_size": one.largest_ctx,
            "decode_tps": None if one.outlook is None else one.outlook.decode_tps,
            "problem": one.problem or None,
        }
        for one in offers
    ]


def advice_text(offers: Sequence[Offer], ctx_size: int, fetch: str) -> str:
    """`fetch`: what is written before its name to fetch it; empty where it is here."""
    best = advised(offers)
    if best is None:
        return f"None of them fits whole on the devices with {ctx_size} tokens of context."
    how = f": {fetch}{best.name}" if fetch else f": {best.path}" if best.path else ""
    said = f"The largest that fits whole with {ctx_size} tokens of context is {clean_line(best.name, 80)}"
    return said + clean_line(how, 300)
