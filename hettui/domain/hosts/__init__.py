"""Other machines: what runs there, what their shells are told and answer, why ssh did not get there."""
