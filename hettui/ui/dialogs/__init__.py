"""What opens over a screen and answers once. Imported where it is opened, and named in `wiring/later.py`."""
