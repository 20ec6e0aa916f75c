"""Samples as batches, and what turns them into a network's input."""
