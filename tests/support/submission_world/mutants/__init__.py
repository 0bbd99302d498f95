"""Services that are wrong on purpose; the checker has to notice each of them."""
