"""Names of perf events in; what each of them counted while a task was on a CPU, by window, out."""
