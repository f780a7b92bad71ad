"""What changed from one JSON object to the next, as a smaller JSON object."""

from __future__ import annotations

from hettui.domain.documents.forms import Json, Mismatch


def change(before: Json, after: Json) -> Json:
    """What turns one object into another: `applied(before, change(before, after)) == after`.

    `key` sets a value, or changes the object that is there; `=key` sets the value as it stands; `-key` takes it away.
    """
    found: dict[str, Json] = {}
    for key, value in after.items():
        old = before.get(key)
        if key in before and old == value:
            continue
        if isinstance(value, dict) and isinstance(old, dict) and not key.startswith(("=", "-")):
            found[key] = change(old, value)
        else:
            found["=" + key if isinstance(value, dict) or key.startswith(("=", "-")) else key] = value
    return found | {"-" + key: 1 for key in before if key not in after}


def applied(before: Json, changes: Json) -> Json:
    """The object after the changes; `before` stays as it is. Raises Mismatch for changes that fit no object."""
    if not isinstance(before, dict) or not isinstance(changes, dict):
        raise Mismatch("changes something that is no object")
    found = dict(before)
    for key, value in changes.items():
        if key.startswith("="):
            found[key[1:]] = value
        elif key.startswith("-"):
            found.pop(key[1:], None)
        elif isinstance(value, dict):
            found[key] = applied(found.get(key), value)
        else:
            found[key] = value
    return found
