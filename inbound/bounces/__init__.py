"""Returned mails read and classed: pure."""
