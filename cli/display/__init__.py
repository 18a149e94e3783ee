"""Windows in; text for a person out: pages, tables, keys."""
