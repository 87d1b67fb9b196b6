"""The papers: recipes, and the claims that they test."""
