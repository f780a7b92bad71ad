"""The panes beside the devices: chat, logs, commands."""
