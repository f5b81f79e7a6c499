"""All writes to messages, one module per subject."""
