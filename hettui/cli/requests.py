"""`hettui requests`: what every client's requests did, what was read again, and why."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hettui.cli.signals import Interrupted, interruptible

if TYPE_CHECKING:
    from hettui.domain.slots.request import Request


def run_requests(options: Namespace) -> int:
    from hettui.domain.slots.report import as_json, heading
    from hettui.wiring.requests import FollowedRequests

    followed = FollowedRequests()
    past = followed.log.all[-options.lines :] if options.lines else ()
    if options.json and not options.follow:
        held = [{"slot": slot, "tokens": tokens} for slot, (tokens, _) in sorted(followed.log.held().items())]
        print(json.dumps({"requests": [as_json(request) for request in past], "slots": held}, indent=1))
        return 0
    if not options.json:
        print(heading(), flush=options.follow)
    _print(past, options)
    if options.follow:
        try:
            with interruptible():
                for request in followed.ended():
                    _print((request,), options)
        except Interrupted as interrupted:
            # The ordinary end of following.
            return 0 if interrupted.name == "SIGINT" else 128 + interrupted.number
    elif not past:
        print("No request yet.")
    return 0


def _print(requests: Iterable[Request], options: Namespace) -> None:
    from hettui.domain.slots.report import as_json, line, notes

    for request in requests:
        if options.json:
            print(json.dumps(as_json(request)), flush=True)
        else:
            print("\n".join((line(request), *notes(request))), flush=options.follow)
