"""``python -m schedtel.cli``: runs the command where its entry point is not installed."""

from schedtel.cli import main
from schedtel.cli.signals import ending_by_signals

with ending_by_signals():
    main()
