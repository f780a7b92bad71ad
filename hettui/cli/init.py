"""`hettui init` and `hettui keys`: what a configuration may say."""

from __future__ import annotations

import json
from argparse import Namespace


def run_init(options: Namespace) -> int:
    from hettui.wiring.init import write_config

    path = write_config(options.path, options.model, force=options.force, hosts=options.host)
    print(f"wrote {path}; open it with: hettui {path}")
    return 0


def run_keys(options: Namespace) -> int:
    from hettui.adapters.files.config_toml import load
    from hettui.domain.screen.keymap import Keymap, key_table

    rows = key_table(Keymap(load(options.config).keys if options.config else {}))
    if options.json:
        names = ("group", "keys", "action", "sentence")
        print(json.dumps([dict(zip(names, row, strict=True)) for row in rows], indent=2, ensure_ascii=False))
    elif options.markdown:
        print("| | keys | action | what it does |\n|---|---|---|---|")
        for group, keys, action, sentence in rows:
            print(f"| {group} | {' '.join(f'`{key}`' for key in keys.split()) or '–'} | `{action}` | {sentence} |")
    else:
        for group, keys, action, sentence in rows:
            print(f"{group:<10} {keys or '–':<12} {action:<21} {sentence}")
    return 0
