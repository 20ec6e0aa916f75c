"""The results as one self-contained page with its figures and their numbers."""

from .html import build

__all__ = ["build"]
