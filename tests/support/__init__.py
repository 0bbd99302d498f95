"""Real servers and small models for the tests."""
