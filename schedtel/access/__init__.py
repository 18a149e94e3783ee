"""Access to streams: URIs, tokens and certificates in; those that are safe to use out. The rest is refused."""
