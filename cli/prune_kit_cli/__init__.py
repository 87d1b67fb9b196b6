"""The command line of prune_kit: parses words, calls one verb, prints."""
