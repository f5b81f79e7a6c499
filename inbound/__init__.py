"""What comes back: provider events, returned mails, opens and clicks, unsubscribes."""
