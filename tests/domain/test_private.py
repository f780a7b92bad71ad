"""What stays on this machine: keys, the home directory, what was asked and answered."""

from __future__ import annotations

import pytest

from hettui.domain.recording.private import DEBUG_LINES, LogVeil, Veil, speaks_of_prompts


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/models/a.gguf", "~/models/a.gguf"),
        ("-m /home/me/a.gguf --rpc x", "-m ~/a.gguf --rpc x"),
        ("LD_LIBRARY_PATH=/usr/lib:/home/me/lib", "LD_LIBRARY_PATH=/usr/lib:~/lib"),
        ("'/home/me'", "'~'"),
        ("/home/melissa/a.gguf", "/home/melissa/a.gguf"),
        ("/mnt/home/me/a.gguf", "/mnt/home/me/a.gguf"),
        ("/home/me.old/a", "/home/me.old/a"),
        ("main: api_keys: ****cret", "main: api_keys: (hidden)"),
        ("llama-server --api-key s3cret -c 1", "llama-server --api-key (hidden) -c 1"),
        ("llama-server --hf-token='a b' -c 1", "llama-server --hf-token=(hidden) -c 1"),
        ("--api-key-file /home/me/keys", "--api-key-file ~/keys"),
    ],
)
def test_every_text_is_veiled(text: str, shown: str) -> None:
    assert Veil("/home/me/")(text) == shown


def test_a_key_that_was_used_stands_nowhere() -> None:
    veil = Veil("")
    veil.hide("sk-abcdef")
    veil.hide(None)
    veil.hide("")
    assert veil("Authorization: Bearer sk-abcdef, refused") == "Authorization: Bearer (hidden), refused"
    assert veil("/home/me is nobody's home here") == "/home/me is nobody's home here"


def test_arguments_lose_their_keys() -> None:
    words = ("--predict", "256", "-hft", "token", "--api-key", "x", "--alias", "me")
    assert Veil("").arguments(words) == (
        "--predict",
        "256",
        "-hft",
        "(hidden)",
        "--api-key",
        "(hidden)",
        "--alias",
        "me",
    )


def test_debug_lines_and_what_they_go_on_with_are_left_out() -> None:
    veil = LogVeil()
    first = veil(["0.00.1.2 I srv start", "continued", "0.00.1.2 D Parsed message: secret"])
    assert first == ("0.00.1.2 I srv start", "continued", DEBUG_LINES)
    # The next look at the log begins in the middle of what the debug line printed.
    assert veil(["more of the secret", "0.00.1.3 D secret"]) == ()
    assert veil(["0.00.1.4 W warned"]) == ("0.00.1.4 W warned",)


@pytest.mark.parametrize(
    ("arguments", "speaks"),
    [(("--predict", "256"), False), (("-lv", "5"), True), (("--verbosity=5",), True), (("--no-log-prefix",), True)],
)
def test_arguments_after_which_prompts_are_logged(arguments: tuple[str, ...], speaks: bool) -> None:
    assert speaks_of_prompts(arguments) is speaks
