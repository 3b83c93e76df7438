"""``python -m merope``: the command line."""

import sys

from merope.cli.main import main

sys.exit(main())
