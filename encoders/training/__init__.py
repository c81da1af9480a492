"""Train an encoder, its prior and a receiver together, for accuracy and rate at once."""
