"""The postprocess hop: turns what the model says into a prediction."""
