"""A line that is being typed where no input field stands: the filter of the logs and of help, a device's name.

Without a field of its own no key is lost on its way from one widget to another, whatever comes in one packet.
"""

from __future__ import annotations

from textual import events

MOST_CHARS = 60


def edited(text: str, event: events.Key) -> str | None:
    """The line after a key; None when the key is none of the line's."""
    if event.key == "backspace":
        return text[:-1]
    if event.key == "ctrl+u":
        return ""
    if event.key == "ctrl+w":
        return text.rstrip().rpartition(" ")[0]
    if event.character is not None and event.character.isprintable():
        return (text + event.character)[:MOST_CHARS]
    return None
