"""What is known of the samples, as files that other tools read."""
