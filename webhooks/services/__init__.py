"""All writes that people and programs ask for."""
