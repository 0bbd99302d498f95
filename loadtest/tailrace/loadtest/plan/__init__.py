"""How many replicas of what a rate needs."""
