"""`python -m dlcore` is the command line: the same engine, without a browser."""

import sys

from dlcore.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
