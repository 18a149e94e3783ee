"""Raw windows in; windows out: Arrow tables, metrics, groups, text."""
