"""The front door: a process that clients talk to, whatever the master behind it does. See `serve`."""
