"""The contract with the kernel: bytes in, arrays of named fields out. It is the same for every backend."""
