"""Files of saved predictions, of any framework, to a scored run. Classes are carried by name, never by position."""
