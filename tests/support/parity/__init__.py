"""What proves that serving and training answer the same: see docs/features.md."""
