"""Zeros that come while a network trains, so that the weights that are left learn to do without the others."""
