"""Reading what providers post."""
