"""Load tests of gRPC services (`tailrace load`), and the benchmarks of the mesh."""
