"""Views that Feast writes: reads its Redis online store in place."""
