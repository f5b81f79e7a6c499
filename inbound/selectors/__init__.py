"""Questions about what came back."""
