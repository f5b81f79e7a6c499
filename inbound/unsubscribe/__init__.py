"""What recipients decide by the links in their mail: to unsubscribe, and what they want to get."""
