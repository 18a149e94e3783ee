"""Windows and keys in; pages and tables for a person out."""
