"""Returned mails read: pure, bounded in time, and never an exception whatever came."""

from inbound.bounces.reading import read
from inbound.bounces.shapes import Kind, Report, Returned, Told

__all__ = ["Kind", "Report", "Returned", "Told", "read"]
