"""`python -m hettui` is the same program as the `hettui` command."""

import sys

from hettui.cli import main

if __name__ == "__main__":
    sys.exit(main())
