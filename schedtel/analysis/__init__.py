"""Windows of a whole run in; timelines, comparisons and log lines out."""
