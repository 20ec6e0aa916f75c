"""Warm-up, scoring, training by rounds, comparing: the training loop and the store."""
