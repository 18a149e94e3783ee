"""The kernel side: a filter in, raw windows out. It knows BPF, and neither Arrow nor windows."""
