"""The offline engine: what views would have answered at given instants, from files, by DuckDB."""
