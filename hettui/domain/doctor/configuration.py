"""The configuration: what it names is there, its secrets are private, and its plan can start now."""

from __future__ import annotations

from collections.abc import Iterator

from hettui.domain.doctor.facts import Facts
from hettui.domain.doctor.finding import Finding, Fix, unchecked
from hettui.domain.text import shell_word

_PRIVATE = 0o600
_OTHERS = 0o077


def readable(facts: Facts) -> Iterator[Finding]:
    """The file can be read, and what it names is there."""
    id, config = "config.file", facts.config
    if config.problem:
        yield Finding(id, "fault", config.problem, (config.path,) if config.path else ())
        return
    if config.path is None:
        yield unchecked(id, "nothing is configured: hettui init writes a file for this machine")
        return
    for text in config.missing:
        yield Finding(id, "fault", text, (), "correct the device's id, or leave the device out", "hettui devices")
    if not config.missing:
        yield Finding(id, "good", f"{config.path} says what hettui understands")


def model(facts: Facts) -> Iterator[Finding]:
    """The model is there and can be read."""
    id, config = "config.model", facts.config
    if config.model_problem:
        yield Finding(id, "fault", config.model_problem, (), "choose another model, or fetch it again")
    elif config.model is None:
        yield unchecked(id, "no model is chosen")
    else:
        yield Finding(id, "good", f"the model is there: {config.model}")


def engine(facts: Facts) -> Iterator[Finding]:
    """llama.cpp is here and says what it can do."""
    id = "engine.found"
    if facts.engine is None:
        yield Finding(id, "fault", facts.engine_problem or "no llama.cpp was found")
    else:
        yield Finding(
            id,
            "good",
            f"llama.cpp b{facts.engine.build}: {facts.engine.server}",
            (facts.engine.version,) if facts.engine.version else (),
        )


def keys(facts: Facts) -> Iterator[Finding]:
    """Files with keys are readable by their user only."""
    id, fine = "config.keys", True
    for file in facts.config.keys:
        if file.mode is None:
            fine = False
            yield Finding(
                id, "fault", f"{file.what} {file.path} cannot be looked at", (), "correct its path", subject=file.path
            )
        elif file.mode & _OTHERS:
            fine = False
            fix = Fix(file.path, _PRIVATE) if file.own else None
            yield Finding(
                id,
                "fault",
                f"{file.what} {file.path} can be read by others (mode {file.mode:04o})",
                (),
                "make it private",
                f"chmod 600 {shell_word(file.path)}",
                file.path,
                fix,
            )
    if not facts.config.keys:
        yield Finding(id, "good", "no file holds a key")
    elif fine:
        yield Finding(id, "good", "files with keys are private")


def arguments(facts: Facts) -> Iterator[Finding]:
    """Every option of `extra-args` is one of this build's."""
    id = "config.extra-args"
    if facts.engine is None:
        yield unchecked(id, facts.engine_problem or "no llama.cpp was found that could be asked")
        return
    for text in facts.config.unknown_args:
        yield Finding(
            id,
            "fault",
            f"[serving] extra-args: {text}; llama-server would end at once",
            (),
            "correct it or leave it out",
        )
    if not facts.config.unknown_args:
        yield Finding(id, "good", "this build knows every option that is passed on")


def exposure(facts: Facts) -> Iterator[Finding]:
    """What the configuration opens to a network."""
    for text in facts.config.exposures:
        yield Finding("config.exposure", "warning", text)
    if not facts.config.exposures:
        yield Finding("config.exposure", "good", "nothing that is configured is open to a network")


def room(facts: Facts) -> Iterator[Finding]:
    """The plan fits into what is free now."""
    id, config = "config.room", facts.config
    if not config.planned:
        yield unchecked(id, "there is no plan: a model and a device are needed")
    elif config.no_room:
        yield Finding(id, "fault", config.no_room, (), "see who holds the memory", "hettui devices")
    else:
        yield Finding(id, "good", "the plan fits into what is free now")


def known_faults(facts: Facts) -> Iterator[Finding]:
    """Faults of this build that the plan would meet."""
    id = "engine.faults"
    for text in facts.config.faults:
        yield Finding(id, "fault", text.rstrip("."))
    if not facts.config.planned:
        yield unchecked(id, "there is no plan that could meet one")
    elif not facts.config.faults:
        yield Finding(id, "good", "the plan meets no known fault of this build")
