"""When calls are made, and by which process."""
