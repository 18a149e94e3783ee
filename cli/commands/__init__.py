"""The commands, a file each: options in; what the library does with them out."""
