"""Training craft: what a recipe can name, and the loop that carries it out."""
