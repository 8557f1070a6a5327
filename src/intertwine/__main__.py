"""``python -m intertwine``: the ``intertwine`` command, where its script is not on the path."""

import sys

from intertwine.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
