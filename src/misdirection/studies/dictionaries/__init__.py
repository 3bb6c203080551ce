"""Sparse autoencoders of a model's layers: trained, measured, described (`misdirection sae`)."""
