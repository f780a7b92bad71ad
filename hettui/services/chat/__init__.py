"""Answers, the parallel test, the keeper of conversations."""
