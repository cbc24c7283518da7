"""The network to train: made from the zoo, given its starting weights and a head for the user's classes."""
