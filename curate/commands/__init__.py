"""The commands that need no model: options, messages, one module a group of commands."""
