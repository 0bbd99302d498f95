"""The event service: takes in events, and keeps windowed views up to date with them."""
