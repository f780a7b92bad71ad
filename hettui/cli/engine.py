"""`hettui engine`: list, build, install, use, remove."""

from __future__ import annotations

import json
import shlex
import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from hettui.cli.signals import Interrupted, interruptible

if TYPE_CHECKING:
    from hettui.domain.engines.record import EngineRecord, InUse
    from hettui.wiring.building import Outlook


def run_engine(options: Namespace) -> int:
    with interruptible():
        return _DOES[options.what](options)


def _list(options: Namespace) -> int:
    from hettui.domain.engines.record import engines_json, engines_text
    from hettui.wiring import engines

    found = engines.listed()
    if options.json:
        in_use = engines.shelf().in_use()
        print(
            json.dumps({"engines": engines_json(found), "in_use": in_use.name, "previous": in_use.previous}, indent=1)
        )
    elif found:
        print(engines_text(found))
    else:
        print("no llama.cpp is found here: hettui engine build makes one, hettui engine install takes one")
    return 0 if any(one.runs and not one.problem for one in found) else 1


def _build(options: Namespace) -> int:
    from hettui.domain.engines.recipe import read_architectures, read_backends, read_build, recipe_for
    from hettui.domain.errors import UsageError
    from hettui.wiring import building, engines

    if options.jobs is not None and not 1 <= options.jobs <= 1024:
        raise UsageError(f"--jobs {options.jobs}: it must be 1 to 1024")
    number = read_build(options.name)
    tools = building.tools_here(number)
    recipe = recipe_for(
        number,
        building.present_cards(),
        read_backends(options.backends) if options.backends is not None else None,
        read_architectures(options.architectures) if options.architectures is not None else ((), ()),
        has_hip="hipcc" in tools.found,
        portable=options.portable,
    )
    plan = building.outlook(recipe, options.jobs, tools)
    if options.dry_run:
        print(json.dumps(_outlook_json(plan), indent=1) if options.json else _outlook_text(plan))
        return 1 if plan.lacks else 0
    shelf = engines.shelf()
    record = shelf.record(recipe.name)
    if record is None or options.force:
        if plan.lacks:
            print("\n".join([f"hettui: {recipe.name} cannot be built yet:", *_lacks(plan)]), file=sys.stderr)
            return 1
        record = _built(plan)
    else:
        print(f"{recipe.name} is here already: --force builds it anew", file=sys.stderr)
    after = engines.use(recipe.name) if options.use else shelf.in_use()
    _said(options, record, after, engines.overridden())
    return 0


def _built(plan: Outlook) -> EngineRecord:
    from hettui.cli.progress import StepProgress
    from hettui.wiring import building

    print(_begin_text(plan), file=sys.stderr)
    progress = StepProgress()
    try:
        return building.build(plan, progress)
    except Interrupted:
        progress.clear()
        print("hettui: what is built is kept: the same command goes on from there", file=sys.stderr)
        raise
    finally:
        progress.clear()


def _begin_text(plan: Outlook) -> str:
    how = "goes on" if plan.begun else "begins"
    return f"{plan.recipe.name}: the build {how}, {plan.jobs} at a time, niced, in {plan.build_folder}"


def _outlook_text(plan: Outlook) -> str:
    from hettui.domain.units import format_bytes

    recipe = plan.recipe
    source = "is here" if plan.has_source else f"pip fetches {recipe.requirement} (37 MB for b11434)"
    lines = [
        f"engine    {recipe.name}",
        f"backends  {', '.join(recipe.backends)}",
        *([f"cards     {';'.join((*recipe.cuda, *recipe.hip))}"] if recipe.cuda or recipe.hip else []),
        f"source    {source}",
        f"folder    {plan.build_folder}{' (begun)' if plan.begun else ''}",
        f"disk      about {format_bytes(plan.needed_bytes)}, {format_bytes(plan.tools.free_bytes)} are free",
        f"jobs      {plan.jobs}",
        f"cmake     {shlex.join(plan.cmake)}",
    ]
    return "\n".join([*lines, *(["it cannot be built yet:", *_lacks(plan)] if plan.lacks else [])])


def _lacks(plan: Outlook) -> list[str]:
    return [f"  {one}" for one in plan.lacks]


def _outlook_json(plan: Outlook) -> dict[str, object]:
    recipe = plan.recipe
    return {
        "name": recipe.name,
        "build": recipe.build,
        "backends": recipe.backends,
        "architectures": (*recipe.cuda, *recipe.hip),
        "requirement": recipe.requirement,
        "has_source": plan.has_source,
        "begun": plan.begun,
        "folder": str(plan.build_folder),
        "needed_bytes": plan.needed_bytes,
        "free_bytes": plan.tools.free_bytes,
        "jobs": plan.jobs,
        "cmake": plan.cmake,
        "lacks": [{"what": one.what, "remedy": one.remedy, "command": one.command or None} for one in plan.lacks],
    }


def _install(options: Namespace) -> int:
    from hettui.wiring import engines

    record = engines.install(_named(options), options.as_name)
    after = engines.use(record.name) if options.use else engines.shelf().in_use()
    _said(options, record, after, engines.overridden())
    return 0


def _said(options: Namespace, record: EngineRecord, after: InUse, overridden: str) -> None:
    from hettui.domain.documents.plain import encode

    in_use = after.name == record.name
    if options.json:
        print(json.dumps({"engine": encode(record), "in_use": in_use}, indent=1))
        return
    how = "in use" if in_use else f"take it with hettui engine use {record.name}"
    print(f"{record.name}: {', '.join(record.backends) or 'backends unknown'}; {how}")
    if in_use:
        _tell_more(overridden)


def _tell_more(overridden: str) -> None:
    if overridden:
        print(f"{overridden} is set and wins over it")
    print("the same on all hosts: hettui hosts push")


def _use(options: Namespace) -> int:
    from hettui.domain.errors import UsageError
    from hettui.wiring import engines

    if sum((options.previous, options.none, bool(options.name))) != 1:
        raise UsageError("hettui engine use takes a name, --previous or --none")
    after = engines.use_previous() if options.previous else engines.use(None if options.none else options.name)
    if options.json:
        print(json.dumps({"in_use": after.name, "previous": after.previous}, indent=1))
    elif after.name is None:
        print("no engine of hettui's is in use: the one on PATH is taken, else the wheel's")
    else:
        print(f"{after.name} is in use from the next start on")
        _tell_more(engines.overridden())
    return 0


def _remove(options: Namespace) -> int:
    from hettui.wiring import engines

    engines.remove(_named(options), force=options.force)
    print(json.dumps({"removed": options.name}) if options.json else f"removed {options.name}")
    return 0


def _named(options: Namespace) -> str:
    from hettui.domain.errors import UsageError

    if not options.name:
        raise UsageError(f"engine {options.what} needs a name: hettui engine --help")
    return str(options.name)


_DOES = {"list": _list, "build": _build, "install": _install, "use": _use, "remove": _remove}
