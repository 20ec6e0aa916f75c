"""Samples as batches, and the transforms that turn them into a network's input."""
