"""Options in; calls of the library out. One file for each command."""
