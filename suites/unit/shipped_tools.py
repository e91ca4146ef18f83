"""The tool schemas that the harness ships, read without judging them: `test_cases.py` does that once."""

import json

from phase8.chat.formats import Tools
from phase8.core.project import ROOT

TOOLS: Tools = json.loads((ROOT / "data" / "cases" / "tools.json").read_text(encoding="utf-8"))
