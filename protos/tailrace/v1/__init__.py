"""The messages and services of Tailrace, generated from the protos beside this file."""
