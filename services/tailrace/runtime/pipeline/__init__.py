"""Pipeline and feature-view files: their model, their checks, and the versions being served."""
