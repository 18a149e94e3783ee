"""Who may reach what: URIs, tokens and certificates in; what is safe to use out, the rest refused."""
