"""Data sets with known faults: damage, wrong clips or labels, and changes that are no fault, planted in any data."""

from .decoded import DecodedSamples
from .planted import KINDS, Fault, Planted, possible

__all__ = ["KINDS", "DecodedSamples", "Fault", "Planted", "possible"]
