"""What `quickeye loadtest` is made of: who sends when, and what came of it."""
