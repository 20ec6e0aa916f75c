"""Encoders, fusion and weights."""
