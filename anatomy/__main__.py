"""``python -m anatomy`` is the command line."""

import sys

from anatomy.cli import main

sys.exit(main())
