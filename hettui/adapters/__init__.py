"""One outside thing per module: files, processes, sockets, sensors. Each implements a port."""
