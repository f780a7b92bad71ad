"""The front door: what stands between clients and a master that is restarted; what it is told, and what it says."""
