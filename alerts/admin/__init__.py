"""The admin of alerts and of the channels that tell of them."""

from alerts.admin import alerts, channels

__all__ = ["alerts", "channels"]
