"""Address validation, token verification and sender domains."""
