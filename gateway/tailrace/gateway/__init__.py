"""The gateway: spends the deadline of a request hop by hop and shows how."""
