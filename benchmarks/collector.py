"""Stands in for ``schedtel live`` where the command does not run: takes a window a second and writes it as NDJSON."""

import sys

import schedtel

if __name__ == "__main__":
    with schedtel.live(window="1s") as source:
        for window in source:
            sys.stdout.write(window.to_ndjson() + "\n")
            sys.stdout.flush()
