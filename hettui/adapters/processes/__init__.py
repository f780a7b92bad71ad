"""Children, their logs, ports, sockets, the run folder."""
