"""Makes light models, measured with the code that serves them."""
