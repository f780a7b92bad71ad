"""`hettui export`: the cluster as files that work without hettui."""

from __future__ import annotations

import json
from argparse import Namespace


def run_export(options: Namespace) -> int:
    from hettui.domain.text import clean
    from hettui.wiring.export import exported, write

    files, parts, runs = exported(options.form, options.config)
    written = write(options.folder, files, force=options.force) if options.folder else []
    if options.json:
        document = {
            "runs_now": runs,
            "url": parts.url,
            "written": written,
            "files": [{"path": one.path, "mode": f"{one.mode:04o}", "text": one.text} for one in files],
        }
        print(json.dumps(document, indent=1))
    elif written:
        print(clean("\n".join(f"wrote {path}" for path in written)))
    else:
        print(clean("\n".join(f"# {'-' * 20} {one.path} ({one.mode:04o})\n{one.text}" for one in files)))
    return 0
