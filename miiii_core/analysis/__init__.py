"""Instruments: Fourier bases, singular values, waves of n mod q, and what they explain."""
