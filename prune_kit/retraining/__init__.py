"""Whether accuracy holds: what is retrained, in which groups, and on which grid."""
