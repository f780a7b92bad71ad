"""The coding agents that hettui knows, by name: what the command line needs of them."""

AGENTS = ("openai", "claude", "codex", "opencode", "qwen", "aider")
