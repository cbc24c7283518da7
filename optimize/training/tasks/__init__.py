"""Several label columns at once: what the tasks share, and what each is served as."""
