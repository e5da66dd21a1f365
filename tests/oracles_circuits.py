"""Interventions by brute force: the read-out computed again, input by input, in float64."""

import numpy as np


def read_out(weights, digits, attention=None, head_out=None, neurons=None):
    """What the last token computes, with any of three things put in place of its own.

    Args:
        weights: The nine matrices by name.
        digits: (n, 2) below p.
        attention: (n, heads, 3) or None.
        head_out: (n, heads, d_model) or None.
        neurons: (n, d_mlp) or None.
    """
    W = {name: np.asarray(weight, np.float64) for name, weight in weights.items()}
    p, found = len(W["W_E"]) - 1, []
    for i, (x0, x1) in enumerate(digits):
        stream = np.stack([W["W_E"][t] + W["W_pos"][s] for s, t in enumerate((x0, x1, p))])
        patterns, outs = [], []
        for h in range(len(W["W_Q"])):
            scores = (stream @ W["W_K"][h]) @ (stream[2] @ W["W_Q"][h])
            powers = np.exp(scores / np.sqrt(W["W_Q"].shape[2]))
            pattern = powers / powers.sum() if attention is None else attention[i, h]
            patterns.append(pattern)
            outs.append(pattern @ stream @ W["W_V"][h] @ W["W_O"][h])
        heads = np.stack(outs) if head_out is None else head_out[i]
        middle = stream[2] + heads.sum(axis=0)
        hidden = np.maximum(middle @ W["W_in"], 0) if neurons is None else neurons[i]
        logits = (middle + hidden @ W["W_out"]) @ W["W_U"]
        found.append((np.stack(patterns), heads, hidden, logits))
    names = ("attention", "head_out", "neurons", "logits")
    return dict(zip(names, map(np.stack, zip(*found, strict=True)), strict=True))


def put_to_mean(values, units):
    """Some columns (axis 1) of values replaced by their mean over the inputs."""
    changed = np.array(values)
    for unit in units:
        changed[:, unit] = np.mean(changed[:, unit], axis=0)
    return changed


def put_to_zero(values, units):
    """Some columns (axis 1) of values replaced by zero."""
    changed = np.array(values)
    changed[:, list(units)] = 0
    return changed


def scores(logits, targets, class_sizes, rows):
    """Mean loss and accuracy of each task over rows, by loops over rows and tasks."""
    losses, hits = np.zeros(len(class_sizes)), np.zeros(len(class_sizes))
    for row in rows:
        start = 0
        for task, size in enumerate(class_sizes):
            own = logits[row, start : start + size]
            top = own.max()
            losses[task] += np.log(np.exp(own - top).sum()) + top - own[targets[row, task]]
            hits[task] += own.argmax() == targets[row, task]
            start += size
    return losses / len(rows), hits / len(rows)


def without_frequency(table, k):
    """A (p, d) table less the least-squares fit of cos and sin at k/p to each column."""
    angle = 2 * np.pi * k * np.arange(len(table)) / len(table)
    waves = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return table - waves @ np.linalg.lstsq(waves, table, rcond=None)[0]


def wave_fit(values, p, frequencies):
    """Least-squares fit of cos and sin of 2πk(x0 + x1)/p to each column, rows n = x0 + p x1."""
    sums = np.array([n % p + n // p for n in range(p * p)])
    angles = [2 * np.pi * k * sums / p for k in frequencies]
    waves = np.stack([f(a) for a in angles for f in (np.cos, np.sin)], axis=1)
    return waves @ np.linalg.lstsq(waves, values, rcond=None)[0]


def block_fit(values, p, frequencies):
    """Least-squares fit of all products of {1, cos, sin} of both digits, the constant left out."""
    numbers = np.arange(p * p)
    columns = []
    for k in frequencies:
        first, second = (2 * np.pi * k * digit / p for digit in (numbers % p, numbers // p))
        ones = np.ones(p * p)
        rows = [[ones, np.cos(a), np.sin(a)] for a in (first, second)]
        columns += [a * b for a in rows[0] for b in rows[1] if not (a is ones and b is ones)]
    if not columns:
        return 0 * values
    waves = np.stack(columns, axis=1)
    return waves @ np.linalg.lstsq(waves, values, rcond=None)[0]
