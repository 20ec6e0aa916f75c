"""The stored numbers, explained in sentences."""
