"""Makes what the flight-delay pipeline is served from: views, model, held-out sample."""
