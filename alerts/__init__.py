"""What people must know: alerts, the channels that tell of them, and what was told."""
