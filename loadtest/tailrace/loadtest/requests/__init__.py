"""What is sent: data, templates, metadata."""
