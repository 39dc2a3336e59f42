"""Arrays only: likelihoods with their gradients, quadrature, minimisers. Needs numpy and scipy."""
