"""How a network is made, and where it trains."""
