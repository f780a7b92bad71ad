"""Models that lie about, and whether they fit."""
