"""``python -m scripts.saga``: SAGA's makespans of all instances, as CSV, headed by what made them."""

import csv
import os
import sys
from importlib.metadata import version

from scripts.saga import makespans
from scripts.saga.instances import instances

hash_seed = os.environ.get("PYTHONHASHSEED")
if hash_seed is None:
    sys.exit("set PYTHONHASHSEED, or SAGA takes another of what is equally good each time")
print(f"# anrg-saga {version('anrg-saga')}, PYTHONHASHSEED={hash_seed} python -m scripts.saga")
out = csv.writer(sys.stdout, lineterminator="\n")
out.writerow(("family", "seed", "method", "least", "most"))
for instance in instances():
    out.writerows(makespans.rows(instance))
