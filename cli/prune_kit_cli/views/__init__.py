"""What is shown: one file a thing."""
