"""Every planted regression."""

from harness.power_data import DATA
from harness.power_engine import ENGINE
from harness.power_history import HISTORY
from harness.power_text import TEXT
from harness.power_weights import WEIGHTS

PLANTS = (*WEIGHTS, *TEXT, *ENGINE, *DATA, *HISTORY)
