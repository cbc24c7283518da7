"""What a model is, and how a picture becomes its input and an answer.

Imports neither ``server`` nor ``optimize``, no web framework, and no torch
(``architectures`` and ``export`` aside, which import it only when asked for).
"""
