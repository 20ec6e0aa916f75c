"""Encoders of other libraries, and of a user's own file, by name; see `names`."""
