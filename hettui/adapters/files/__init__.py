"""Whatever is kept or read on disk: paths, atomic writing, configuration, stores."""
