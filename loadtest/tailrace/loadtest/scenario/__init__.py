"""Loads that belong together, what happens to the mesh meanwhile, and a verdict at the end."""
