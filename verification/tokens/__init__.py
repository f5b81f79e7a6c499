"""Token verification, the pure parts: secrets of links, redirects, languages."""
