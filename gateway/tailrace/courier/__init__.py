"""The courier: pushes results to callbacks."""
