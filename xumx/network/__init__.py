"""What a network is, apart from what computes it: sizes, weights, where they come from."""
