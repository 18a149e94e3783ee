"""``python -m scripts.ways runs FILE``, ``tables FILE`` or ``scaling``."""

import sys
from pathlib import Path

from scripts.ways import runs, scaling, tables

_, what, *words = sys.argv
if what == "runs":
    runs.add_rows(Path(words[0]), list(runs.ways()), range(runs.SEEDS))
    runs.add_rows(Path(words[0]), [way for way in runs.ways() if way.in_turn], range(runs.SEEDS_IN_TURN))
elif what == "tables":
    print(tables.text_of(runs.rows_in(Path(words[0]))))
else:
    print(scaling.text_of(scaling.measured()))
