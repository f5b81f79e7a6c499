"""Posts of providers as they come, signed as the providers sign them."""
