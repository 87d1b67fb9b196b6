"""What is measured on a network or in a space, training nothing."""
