"""Training: datasets, synthesis, networks, losses and the loop that makes a bundle."""
