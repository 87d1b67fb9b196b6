"""The nouns that are files: score tables, selections, removals, outcomes."""
