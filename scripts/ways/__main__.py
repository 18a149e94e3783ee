"""``python -m scripts.ways runs FILE``, ``tables FILE`` or ``scaling``."""

import sys
from pathlib import Path

from scripts.ways import runs, scaling, tables

_, what, *words = sys.argv
if what == "runs":
    runs.add_rows(Path(words[0]), list(runs.ways()), range(runs.SEEDS))
elif what == "tables":
    print(tables.text_of(runs.rows_in(Path(words[0]))))
else:
    print(scaling.text_of(scaling.measured()))
