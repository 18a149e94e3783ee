"""The machine without BPF: files of /proc, /sys and cgroupfs in; CPUs, cgroups, threads and counters out."""
