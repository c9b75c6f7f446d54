"""From a trained network to a bundle: the graph, its precision, its weights, and the proof that its numbers are the same."""
