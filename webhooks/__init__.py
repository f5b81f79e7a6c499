"""Outgoing webhooks: endpoints, deliveries, their log."""
