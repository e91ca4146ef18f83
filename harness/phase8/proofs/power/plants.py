"""Every planted regression."""

from phase8.proofs.power.plants_data import DATA
from phase8.proofs.power.plants_engine import ENGINE
from phase8.proofs.power.plants_history import HISTORY
from phase8.proofs.power.plants_text import TEXT
from phase8.proofs.power.plants_weights import WEIGHTS

PLANTS = (*WEIGHTS, *TEXT, *ENGINE, *DATA, *HISTORY)
