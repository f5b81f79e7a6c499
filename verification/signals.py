"""What happens here and concerns others: they connect, this app knows nothing of them."""

from django.dispatch import Signal

#: An address was confirmed. Sent once per verification with `verification=` (the row as it is now),
#: within the transaction that confirms it: what a receiver writes commits with it, and an error it
#: raises undoes the confirmation. Receivers do nothing slow.
verified = Signal()

#: The From domains that are aligned at some kind of provider have changed. Sent with `owner_id=`
#: (None for the company) within the transaction that writes it, as its last act: what a receiver
#: writes commits with it.
alignment_changed = Signal()
