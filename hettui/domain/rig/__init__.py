"""A machine as a page that others may read and plan for: nothing private in it."""
