"""Processes of llama.cpp as data: command lines, a process's life, snapshots, the record of what runs, its log as
facts, why it ended.
"""
