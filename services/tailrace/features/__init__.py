"""The features hop: reads the features of entities from the online store."""
