"""The JSON shapes of the doors, turned into the model at the edge."""
