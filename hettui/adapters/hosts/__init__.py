"""Other machines by the system's ssh: its command lines, scripts for the far side, what holds a worker there."""
