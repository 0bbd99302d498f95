"""Several processes that share the gateway's port, and the small parent that keeps them."""
