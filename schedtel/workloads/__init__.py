"""A workload described in TOML in; planned jobs, the same for the same seed, and what became of each, out."""
