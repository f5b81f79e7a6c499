"""The database engine of web processes: Django's PostgreSQL with a cheaper check of its pool."""
