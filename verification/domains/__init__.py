"""What the DNS should say about a domain that sends mail, and what it says: without database."""
