"""Pure mathematics of the scores: gaps, mixtures, usability, metrics, and rules of selection."""
