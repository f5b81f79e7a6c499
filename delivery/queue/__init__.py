"""The queue in the database and the engine that drains it."""
