"""Spectra by other means: complex FFTs and dense loops in plain NumPy, importing none of ours."""

import numpy as np


def plane_wave(p, k0, k1, phase=0.0):
    """cos(2π(k0·x0 + k1·x1)/p + phase) over the grid [x0, x1], by two loops."""
    wave = np.zeros((p, p))
    for x0 in range(p):
        for x1 in range(p):
            wave[x0, x1] = np.cos(2 * np.pi * (k0 * x0 + k1 * x1) / p + phase)
    return wave


def fft_power(values):
    """Energy per frequency 0..K of a vector: a bin and its mirror image added."""
    p = len(values)
    energy = np.abs(np.fft.fft(values)) ** 2 / p
    return np.array([energy[0]] + [energy[k] + energy[p - k] for k in range(1, (p + 1) // 2)])


def fft_power_2d(grid):
    """Energy per frequency pair: all sign combinations of (k0, k1) added, by loops."""
    p = len(grid)
    energy = np.abs(np.fft.fft2(grid)) ** 2 / p**2
    folded = np.zeros(((p + 1) // 2, (p + 1) // 2))
    for a in range(p):
        for b in range(p):
            folded[min(a, p - a), min(b, p - b)] += energy[a, b]
    return folded


def neuron_block_shares(neuron):
    """Share of variance that least squares on {1, cos, sin}⊗{1, cos, sin} explains, per k."""
    p = len(neuron)
    target = (neuron - neuron.mean()).ravel()
    shares = []
    for k in range(1, (p + 1) // 2):
        angle = 2 * np.pi * k * np.arange(p) / p
        rows = [np.ones(p), np.cos(angle), np.sin(angle)]
        block = np.stack([np.outer(a, b).ravel() for a in rows for b in rows], axis=1)
        fit = block @ np.linalg.lstsq(block, target, rcond=None)[0]
        shares.append((fit @ fit) / (target @ target))
    return np.array(shares)


def active_by_loop(power, deviations):
    """Entries but [0, 0] above the mean plus so many deviations of the entries but [0, 0]."""
    entries = [power[i, j] for i in range(len(power)) for j in range(len(power)) if i or j]
    threshold = np.mean(entries) + deviations * np.std(entries)
    mask = power > threshold
    mask[0, 0] = False
    return mask


def public_omega(power, epochs):
    """The public code's count and printed label per log-time column, step by step."""
    frequencies = power.shape[2]
    columns = np.floor(np.logspace(0, np.log10(epochs[-1]), 3 * (frequencies - 1)) + 1e-3)
    rows = []
    for k in range(frequencies):
        row = []
        for column in columns:
            record = max(i for i, epoch in enumerate(epochs) if epoch <= column or i == 0)
            row.append(np.sqrt(power[record, :, k]).mean())
        rows.append(np.array(row) / sum(row))
    rows = np.array(rows)
    active = (rows > rows.mean() + rows.std()).sum(axis=0)
    return columns, active, np.array([int(int(n) ** 0.75 + 1e-9) for n in active])


def gini_by_pairs(values):
    """Mean absolute difference over all pairs, halved and divided by the mean."""
    n = len(values)
    gap = sum(abs(a - b) for a in values for b in values)
    return gap / (2 * n * n * np.mean(values))
