"""Whether scores agree."""
