"""The command line `tailrace` and the local launcher behind it."""
