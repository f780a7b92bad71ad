"""`hettui models`: list, fetch, advise, convert, quantize, verify, remove."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from hettui.cli.signals import Interrupted, interruptible

if TYPE_CHECKING:
    from hettui.cli.progress import StepProgress
    from hettui.domain.config.values import Config
    from hettui.domain.library.offers import Offer
    from hettui.wiring.making import Made, Wish


def run_models(options: Namespace) -> int:
    with interruptible():
        return _DOES[options.what](options)


def _list(options: Namespace) -> int:
    from hettui.domain.library.hub import read_name
    from hettui.domain.library.offers import offers_json, offers_text
    from hettui.wiring import models

    session = models.session_for(options.config)
    if options.names:
        offers: list[Offer] = []
        for name in options.names:
            offers += models.hub_offers(read_name(name), session, _Progress())[1]
    else:
        offers = models.local_offers(session)
    if options.json:
        print(json.dumps({"models": offers_json(offers)}, indent=1))
    else:
        print(
            offers_text(offers) if offers else "no model is found here: hettui models fetch user/repo:QUANT fetches one"
        )
    return 0


def _advise(options: Namespace) -> int:
    from hettui.domain.errors import UsageError
    from hettui.domain.library.hub import read_name
    from hettui.domain.library.offers import advice_text, advised, offers_json, offers_text
    from hettui.wiring import models

    if options.ctx_size is not None and options.ctx_size < 1:
        raise UsageError(f"--ctx-size {options.ctx_size}: it must be a whole number of at least 1")
    session = models.session_for(options.config, options.ctx_size)
    ctx_size = session.config.params.ctx_size
    names = _named(options)
    if all(name.lower().endswith(".gguf") and "://" not in name for name in names):
        offers, how = models.file_offers(names, session), ""
    elif len(names) == 1:
        named = read_name(names[0])
        offers, how = models.hub_offers(named, session, _Progress())[1], f"hettui models fetch {named.repo}:"
    else:
        raise UsageError("models advise takes one repository, or several .gguf files")
    if options.json:
        best = advised(offers)
        print(json.dumps({"models": offers_json(offers), "advised": best.name if best else None}, indent=1))
    else:
        print(f"{offers_text(offers)}\n\n{advice_text(offers, ctx_size, how)}")
    return 0 if advised(offers) else 1


def _fetch(options: Namespace) -> int:
    from hettui.domain.errors import UsageError
    from hettui.domain.text import clean_line
    from hettui.wiring import models

    if not 1 <= options.parallel <= 16:
        raise UsageError(f"--parallel {options.parallel}: it must be 1 to 16")
    got = []
    try:
        for name in _named(options):
            got += models.fetch_model(
                name, options.to, projector=not options.no_mmproj, parallel=options.parallel, tell=_Progress()
            )
    except Interrupted:
        print("hettui: what has arrived is kept: the same command goes on from there", file=sys.stderr)
        raise
    if options.json:
        print(json.dumps({"files": [{"path": one.path, "sha256": one.sha256} for one in got]}, indent=1))
    else:
        for one in got:
            print(clean_line(one.path) + ("" if one.sha256 else "  (nobody says what its sum must be)"))
    return 0


def _quantize(options: Namespace) -> int:
    from hettui.domain.errors import UsageError
    from hettui.wiring import making

    if options.threads is not None and options.threads < 1:
        raise UsageError(f"--threads {options.threads}: it must be at least 1")
    if len(options.names) != 2:
        raise UsageError("models quantize takes a file and a type: hettui models quantize m.F16.gguf Q4_K_M")
    file, kind = options.names
    config, wish, tell = _making(options)
    try:
        made = making.quantize(config, file, kind, wish, tell, dry=options.dry_run)
    finally:
        tell.clear()
    return _tell_made(options, made)


def _convert(options: Namespace) -> int:
    from hettui.domain.errors import UsageError
    from hettui.wiring import making

    if len(options.names) != 1:
        raise UsageError("models convert takes one folder, as a hub's repository: with config.json and its weights")
    config, wish, tell = _making(options)
    try:
        made = making.convert(config, options.names[0], options.outtype, wish, tell, dry=options.dry_run)
    finally:
        tell.clear()
    return _tell_made(options, made)


def _making(options: Namespace) -> tuple[Config, Wish, StepProgress]:
    from hettui.cli.progress import StepProgress
    from hettui.wiring.making import Wish
    from hettui.wiring.models import config_for

    wish = Wish(options.to, options.imatrix, options.allow_requantize, options.threads, options.python, options.force)
    return config_for(options.config), wish, StepProgress()


def _tell_made(options: Namespace, made: Made) -> int:
    from hettui.domain.text import clean_line
    from hettui.domain.units import format_bytes

    if options.json:
        facts = {"path": made.path, "size_bytes": made.size_bytes, "sha256": made.sha256, "dry_run": options.dry_run}
        print(json.dumps(facts, indent=1))
    else:
        print(f"{clean_line(made.path)}: {'about ' if options.dry_run else ''}{format_bytes(made.size_bytes)}")
    return 0


def _verify(options: Namespace) -> int:
    from hettui.wiring import models

    for name in _named(options):
        print(models.verify(name, _Progress()))
    return 0


def _remove(options: Namespace) -> int:
    from hettui.domain.text import clean_line
    from hettui.wiring import models

    for name in _named(options):
        for path in models.remove(name, force=options.force):
            print(f"removed {clean_line(path)}")
    return 0


def _named(options: Namespace) -> list[str]:
    from hettui.domain.errors import UsageError

    if not options.names:
        raise UsageError(f"models {options.what} needs a name: hettui models --help")
    return list(options.names)


_DOES = {
    "list": _list, "advise": _advise, "fetch": _fetch, "convert": _convert, "quantize": _quantize, "verify": _verify,
    "remove": _remove,
}  # fmt: skip


class _Progress:
    """One line on stderr that is written over, only where somebody looks."""

    def __init__(self) -> None:
        import time

        self._clock = time.monotonic
        self._told_s = 0.0

    def __call__(self, what: str, done: int, total: int) -> None:
        from hettui.domain.text import clean_line
        from hettui.domain.units import format_bytes

        now_s = self._clock()
        if not sys.stderr.isatty() or (done < total and now_s - self._told_s < 0.2):
            return
        self._told_s = now_s
        size = f" of {format_bytes(total)}" if total > 1 << 20 else ""
        end = "\n" if done >= total else ""
        text = f"\r\x1b[K{clean_line(what, 60)}  {done / max(1, total):4.0%}{size}"
        print(text, end=end, file=sys.stderr, flush=True)
