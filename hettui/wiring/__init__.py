"""The composition root: picks adapters, builds the engine, opens sessions. Nobody else knows concrete adapters."""
