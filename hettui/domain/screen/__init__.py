"""What the screen can do, said without one: actions, their keys, why one cannot be done now, panes, the terminal's
abilities.
"""
