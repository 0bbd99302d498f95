"""What answers of Tailrace say about themselves: hops, quality, deadline."""
