"""Ways of learning, each with several seeds: docs/training/ways.md has what they show, ``make ways`` does all of it.

runs      ways of learning                → rows: what each seed of each learned, and what that took
tables    rows                            → tables with intervals
scaling   what parts of a step take here  → how quick more workers would be
"""
