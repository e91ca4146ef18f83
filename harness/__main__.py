"""``python -m harness`` in a checkout: the command of the package beside this file."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from phase8.cli.main import main

sys.exit(main())
