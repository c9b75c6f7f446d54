"""Tasks: what can be learned. Each file owns the networks, optimizers and losses of one; the loop is common to all."""
