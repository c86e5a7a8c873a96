"""``python -m anatomy`` is the command line."""

import sys

from anatomy.cli.app import main

sys.exit(main())
