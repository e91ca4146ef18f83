"""Likelihoods of given rows, token by token."""
