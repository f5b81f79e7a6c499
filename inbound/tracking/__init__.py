"""Pixels and tracked links: what is answered, what is kept, what it is taken for."""
