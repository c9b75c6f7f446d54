"""What the service remembers: uploads and jobs, in SQLite or PostgreSQL."""
