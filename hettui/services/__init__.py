"""What runs on the engine thread: asyncio over ports and domain, nothing else."""
