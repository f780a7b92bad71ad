"""`hettui report`: the rig as one page for others."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path


def run_report(options: Namespace) -> int:
    from hettui.domain.text import clean
    from hettui.wiring.rig import report

    text = clean(report(options.config, options.model))
    if options.output is None:
        print(text, end="")
        return 0
    from hettui.adapters.files.atomic import replace_file
    from hettui.domain.errors import HettuiError, UsageError

    target = Path(os.path.abspath(options.output))  # noqa: PTH100 - a link at its end is replaced, not followed
    if target.exists() and not options.force:
        raise UsageError(f"{options.output} exists already: name another file, or use --force")
    try:
        replace_file(target, text.encode("utf-8"), 0o600)
    except OSError as error:
        raise HettuiError(f"{options.output} cannot be written: {error.strerror}") from None
    print(f"wrote {options.output}: read it before you send it", file=sys.stderr)
    return 0
