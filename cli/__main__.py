"""``python -m schedtel.cli``: the command without its entry point."""

from schedtel.cli import main

main()
