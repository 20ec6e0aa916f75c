"""The commands that need no model: options, messages, and one module for each group of commands."""
