"""What the stored numbers say, in sentences."""
