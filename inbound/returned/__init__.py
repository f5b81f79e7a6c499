"""The ways in for returned mail."""
