"""``python -m phase8``."""

import sys

from phase8.cli.main import main

sys.exit(main())
