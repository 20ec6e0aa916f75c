"""The commands that train or need a model."""
