"""``python -m schedtel.cli``: runs the command where its entry point is not installed."""

from schedtel.cli import main

main()
