"""Lists, contacts, segments, campaigns and their imports."""
