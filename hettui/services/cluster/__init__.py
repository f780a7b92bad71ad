"""From a request to a ready cluster and back to nothing; the second hettui's viewer."""
