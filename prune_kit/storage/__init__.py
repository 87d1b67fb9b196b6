"""What is written to the disk: files that are whole or not there."""
