"""``python -m harness`` in a checkout: the command of the package beside this file."""

import os
import sys
from pathlib import Path

_HERE = str(Path(__file__).resolve().parent)
sys.path.insert(0, _HERE)
os.environ["PYTHONPATH"] = os.pathsep.join([_HERE, *filter(None, [os.environ.get("PYTHONPATH")])])

from phase8.cli.main import main  # noqa: E402

sys.exit(main())
