"""Score files of saved predictions, of any framework, as a run. Classes are matched by name, never by position."""
