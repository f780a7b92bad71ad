"""`hettui completion`: what a shell offers after hettui, written from the parser."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from hettui.cli.described import Command, Word, commands_of
from hettui.domain.text import single_quoted


def run_completion(options: Namespace) -> int:
    from hettui.cli.parser import build_parser

    print(script(options.shell, commands_of(build_parser())))
    return 0


def script(shell: str, commands: Sequence[Command]) -> str:
    """Of one of `SHELLS`."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](commands)


def _bash(commands: Sequence[Command]) -> str:
    names = [one.name for one in commands]
    lines = [
        "# bash completion of hettui: source <(hettui completion bash)",
        "_hettui() {",
        '    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command="" word',
        "    COMPREPLY=()",
        '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
        f"        case $word in {'|'.join(names)}) command=$word; break ;; esac",
        "    done",
        '    case "$command $prev" in',
    ]
    for one in commands:
        for word in one.options:
            if word.value:
                spelled = "|".join(f'"{one.name} {spelling}"' for spelling in word.spellings)
                lines.append(f"        {spelled}) {_bash_words(word.choices)}return ;;")
    lines += ["    esac", "    case $command in", f'        "") {_bash_words(names)};;']
    for one in commands:
        words = [spelling for word in one.options for spelling in word.spellings]
        choices = [choice for word in one.arguments for choice in word.choices]
        lines.append(f"        {one.name}) case $cur in -*) {_bash_words(words)};; *) {_bash_words(choices)};; esac ;;")
    lines += ["    esac", "}", "complete -o bashdefault -o default -F _hettui hettui"]
    return "\n".join(lines)


def _bash_words(words: Sequence[str]) -> str:
    """Without any, files are what is left."""
    return f'COMPREPLY=($(compgen -W "{" ".join(words)}" -- "$cur")); ' if words else ""


def _zsh(commands: Sequence[Command]) -> str:
    lines = [
        "#compdef hettui",
        "# zsh completion of hettui: as _hettui in a folder of $fpath, or source <(hettui completion zsh)",
        "_hettui() {",
        "    local -a commands",
        "    commands=(",
        *(f"        {single_quoted(f'{one.name}:{one.summary}')}" for one in commands),
        "    )",
        "    if (( CURRENT == 2 )); then",
        "        _describe -t commands command commands",
        "        _files",
        "        return",
        "    fi",
        "    shift words",
        "    (( CURRENT-- ))",
        "    case $words[1] in",
    ]
    for one in commands:
        specs = [_zsh_option(word, spelling) for word in one.options for spelling in word.spellings]
        specs += [_zsh_argument(word) for word in one.arguments]
        lines.append(f"        {one.name}) _arguments {' '.join(map(single_quoted, specs))} ;;")
    return "\n".join([
        *lines, "    esac", "}",
        'if [[ $funcstack[1] == _hettui ]]; then _hettui "$@"; else compdef _hettui hettui; fi',
    ])  # fmt: skip


def _zsh_option(word: Word, spelling: str) -> str:
    help_text = word.help.replace("[", "(").replace("]", ")").replace(":", "\\:")
    return f"{spelling}[{help_text}]{_zsh_value(word)}"


def _zsh_argument(word: Word) -> str:
    return f"{'*' if word.many else ''}{_zsh_value(word) or ': :'}"


def _zsh_value(word: Word) -> str:
    if not word.value:
        return ""
    action = f"({' '.join(word.choices)})" if word.choices else "_files" if word.is_file else " "
    return f":{word.value.replace(':', ' ')}:{action}"


def _fish(commands: Sequence[Command]) -> str:
    lines = ["# fish completion of hettui: hettui completion fish | source"]
    for one in commands:
        lines.append(f"complete -c hettui -n __fish_use_subcommand -a {one.name} -d {single_quoted(one.summary)}")
    for one in commands:
        seen = f"complete -c hettui -n '__fish_seen_subcommand_from {one.name}'"
        for word in one.options:
            spelled = " ".join(map(_fish_spelling, word.spellings))
            lines.append(f"{seen} {spelled}{_fish_value(word)} -d {single_quoted(word.help)}")
        for word in one.arguments:
            if word.choices:
                lines.append(f"{seen} -a {single_quoted(' '.join(word.choices))} -d {single_quoted(word.value)}")
    return "\n".join(lines)


def _fish_spelling(spelling: str) -> str:
    if spelling.startswith("--"):
        return f"-l {spelling[2:]}"
    return f"-{'s' if len(spelling) == 2 else 'o'} {spelling[1:]}"


def _fish_value(word: Word) -> str:
    if not word.value:
        return ""
    if word.choices:
        return f" -x -a {single_quoted(' '.join(word.choices))}"
    return " -r -F" if word.is_file else " -x"
