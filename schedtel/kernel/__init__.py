"""The kernel side: a filter in, raw windows out. It knows BPF, but neither Arrow nor the tables of a window."""
