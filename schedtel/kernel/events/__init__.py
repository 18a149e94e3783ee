"""A filter in; single scheduling events, as the kernel side writes them, out. It knows BPF, and nothing of Arrow."""
