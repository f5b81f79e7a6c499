"""Links in mails and addresses of returns: what only this service can have written.

Everything they need to work stands in themselves, so they work after the message is purged. Pure:
the keys come from `delivery.link_keys`.
"""

from delivery.links.ring import KeyRing

__all__ = ["KeyRing"]
