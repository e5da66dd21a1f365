"""What our code is compared with: the same mathematics, one input at a time, in float64.

Plain NumPy, and nothing of ours: whatever the package does to be fast is absent here.
"""

import numpy as np


def softmax(scores):
    """Probabilities of a row of scores."""
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def transformer(weights, digits, mid_masks=None, post_masks=None):
    """All three tokens through the block, input by input and head by head.

    Attention is not causal here. For the read-out that makes no difference: it is the last
    token and may look at all of them either way.

    Args:
        weights: The nine matrices by name.
        digits: (n, 2) whole numbers below p; the read-out token p is appended here.
        mid_masks: (n, 3, d_model) factors on the stream after attention is added, or None.
        post_masks: The same after the neurons are added.

    Returns:
        Arrays by name, each (n, 3, ...): attention (head, token looked at), head_out,
        resid_pre, resid_mid, neurons_pre, neurons, resid_post, logits.
    """
    weights = {name: np.asarray(weight, np.float64) for name, weight in weights.items()}
    ones = np.ones((len(digits), 3, weights["W_E"].shape[1]))
    mid_masks = ones if mid_masks is None else np.asarray(mid_masks, np.float64)
    post_masks = ones if post_masks is None else np.asarray(post_masks, np.float64)
    p = len(weights["W_E"]) - 1
    rows = [
        _one_input(weights, [*pair, p], mid, post)
        for pair, mid, post in zip(digits, mid_masks, post_masks, strict=True)
    ]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def _one_input(weights, tokens, mid_mask, post_mask):
    resid_pre = np.stack([weights["W_E"][t] + weights["W_pos"][s] for s, t in enumerate(tokens)])
    d_head = weights["W_Q"].shape[2]
    attention, head_out = [], []
    for W_Q, W_K, W_V, W_O in zip(*(weights[f"W_{x}"] for x in "QKVO"), strict=True):
        scores = (resid_pre @ W_Q) @ (resid_pre @ W_K).T / np.sqrt(d_head)
        pattern = np.stack([softmax(row) for row in scores])
        attention.append(pattern)
        head_out.append(pattern @ (resid_pre @ W_V) @ W_O)
    resid_mid = (resid_pre + sum(head_out)) * mid_mask
    neurons_pre = resid_mid @ weights["W_in"]
    neurons = np.maximum(neurons_pre, 0)
    resid_post = (resid_mid + neurons @ weights["W_out"]) * post_mask
    return {
        "attention": np.stack(attention, axis=1),
        "head_out": np.stack(head_out, axis=1),
        "resid_pre": resid_pre,
        "resid_mid": resid_mid,
        "neurons_pre": neurons_pre,
        "neurons": neurons,
        "resid_post": resid_post,
        "logits": resid_post @ weights["W_U"],
    }


def task_losses(logits, targets, class_sizes):
    """Minus the log of the right class's probability: (n, tasks), in nats."""
    losses = np.zeros(np.shape(targets))
    for n, (row, answers) in enumerate(zip(np.asarray(logits, np.float64), targets, strict=True)):
        start = 0
        for i, (answer, size) in enumerate(zip(answers, class_sizes, strict=True)):
            own = row[start : start + size]
            losses[n, i] = np.log(np.exp(own - own.max()).sum()) + own.max() - own[answer]
            start += size
    return losses


def task_accuracies(logits, targets, class_sizes):
    """1 where the right class has the first largest logit of its task, else 0."""
    accuracies = np.zeros(np.shape(targets))
    for n, (row, answers) in enumerate(zip(np.asarray(logits), targets, strict=True)):
        start = 0
        for i, (answer, size) in enumerate(zip(answers, class_sizes, strict=True)):
            own = list(row[start : start + size])
            accuracies[n, i] = own.index(max(own)) == answer
            start += size
    return accuracies


def objective(weights, digits, targets, class_sizes, loss_weights, mid=None, post=None):
    """The number that training brings down: tasks weighted, inputs averaged."""
    logits = transformer(weights, digits, mid, post)["logits"][:, 2]
    losses = task_losses(logits, targets, class_sizes)
    total = 0.0
    for row in losses:
        for loss, weight in zip(row, loss_weights, strict=True):
            total += float(weight) * loss / len(losses)
    return total


def slope(function, weights, direction, width=1e-5):
    """How fast a function of the weights rises along a direction: a central difference."""
    values = [
        function({name: w + side * width * direction[name] for name, w in weights.items()})
        for side in (1, -1)
    ]
    return (values[0] - values[1]) / (2 * width)


def ema_filter(gradients, lam, alpha, start):
    """Each gradient with lam times the exponential mean so far added to it."""
    filtered, mean = [], None
    for gradient in gradients:
        if mean is None:
            mean = gradient if start == "first" else (1 - alpha) * gradient
        else:
            mean = alpha * mean + (1 - alpha) * gradient
        filtered.append(gradient + lam * mean)
    return filtered


def window_filter(gradients, lam, window):
    """Each gradient with lam times the mean of the last ones added, once there are enough."""
    filtered = []
    for t, gradient in enumerate(gradients):
        recent = gradients[max(0, t - window + 1) : t + 1]
        filtered.append(gradient + (lam * sum(recent) / window if len(recent) == window else 0.0))
    return filtered


class AdamW:
    """Loshchilov and Hutter's algorithm for one array, behind a Grokfast filter."""

    def __init__(self, weight, learning_rate, weight_decay, beta1, beta2, eps, slow):
        """Start from a weight; ``slow`` maps all gradients so far to the filtered ones."""
        self.weight = np.asarray(weight, np.float64)
        self.rate, self.decay, self.eps = learning_rate, weight_decay, eps
        self.beta1, self.beta2, self.slow = beta1, beta2, slow
        self.first, self.second = np.zeros_like(self.weight), np.zeros_like(self.weight)
        self.gradients = []

    def step(self, gradient):
        """One update."""
        self.gradients.append(np.asarray(gradient, np.float64))
        g, t = self.slow(self.gradients)[-1], len(self.gradients)
        self.first = self.beta1 * self.first + (1 - self.beta1) * g
        self.second = self.beta2 * self.second + (1 - self.beta2) * g**2
        corrected = self.first / (1 - self.beta1**t)
        spread = np.sqrt(self.second / (1 - self.beta2**t))
        move = corrected / (spread + self.eps) + self.decay * self.weight
        self.weight = self.weight - self.rate * move


def read_out(weights, digits, **put):
    """What the last token computes in float64, with arrays put in place of its own, by site.

    Args:
        weights: The nine matrices by name.
        digits: (n, 2) below p.
        put: Any of attention (n, heads, 3), head_out (n, heads, d_model), neurons_pre and neurons
            (n, d_mlp), resid_mid and resid_post (n, d_model).
    """
    W = {name: np.asarray(weight, np.float64) for name, weight in weights.items()}
    p, rows = len(W["W_E"]) - 1, []
    for i, (x0, x1) in enumerate(digits):
        row = {}

        def at(site, value, i=i, row=row):
            row[site] = put[site][i] if site in put else value
            return row[site]

        stream = np.stack([W["W_E"][t] + W["W_pos"][s] for s, t in enumerate((x0, x1, p))])
        scores = [
            (stream @ W_K) @ (stream[2] @ W_Q) for W_Q, W_K in zip(W["W_Q"], W["W_K"], strict=True)
        ]
        patterns = [softmax(own / np.sqrt(W["W_Q"].shape[2])) for own in scores]
        patterns = at("attention", np.stack(patterns))
        written = zip(patterns, W["W_V"], W["W_O"], strict=True)
        moved = [pattern @ stream @ W_V @ W_O for pattern, W_V, W_O in written]
        middle = at("resid_mid", stream[2] + at("head_out", np.stack(moved)).sum(axis=0))
        hidden = at("neurons", np.maximum(at("neurons_pre", middle @ W["W_in"]), 0))
        row["logits"] = at("resid_post", middle + hidden @ W["W_out"]) @ W["W_U"]
        rows.append(row)
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def put_to_mean(values, units):
    """Some columns (axis 1) of values replaced by their mean over the inputs."""
    changed = np.array(values)
    for unit in units:
        changed[:, unit] = np.mean(changed[:, unit], axis=0)
    return changed


def scores(logits, targets, class_sizes, rows):
    """Mean loss and accuracy of each task over rows."""
    rows = list(rows)
    each = (np.asarray(logits)[rows], np.asarray(targets)[rows], class_sizes)
    return task_losses(*each).mean(axis=0), task_accuracies(*each).mean(axis=0)


def least_squares(values, columns):
    """What columns explain of values beside a constant, their own means removed."""
    design = np.column_stack([np.ones(len(values)), *columns])
    weights = np.linalg.lstsq(design, values, rcond=None)[0][1:]
    return (design[:, 1:] - design[:, 1:].mean(axis=0)) @ weights


def wave_columns(waves, numbers):
    """Cosine and sine of 2πkn/q for pairs (k, q), those that are not zero everywhere."""
    found = [f(2 * np.pi * k * numbers / q) for k, q in waves for f in (np.cos, np.sin)]
    return [column for column in found if np.abs(column).max() > 1e-9]


def fft_power(values):
    """Energy per frequency 0..K of a vector: a bin of the FFT and its mirror image added."""
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


def block_shares(grid, f0, f1):
    """Shares of {1, cos, sin}⊗{1, cos, sin} in a grid's variance and in its interaction part's.

    Frequencies are in cycles per step of x0 and of x1; fits are dense least squares.
    """
    x = np.arange(len(grid))
    first, second = (
        [np.ones(len(x)), np.cos(2 * np.pi * f * x), np.sin(2 * np.pi * f * x)] for f in (f0, f1)
    )
    block = np.stack([np.outer(u, v).ravel() for u in first for v in second], axis=1)
    both = grid - grid.mean(0, keepdims=True) - grid.mean(1, keepdims=True) + grid.mean()
    shares = []
    for part in (grid - grid.mean(), both):
        fit = block @ np.linalg.lstsq(block, part.ravel(), rcond=1e-10)[0]
        shares.append((fit @ fit) / (part**2).sum())
    return shares


def active_by_loop(power):
    """Entries but [0, 0] above the mean plus two deviations of the entries but [0, 0]."""
    entries = [power[i, j] for i in range(len(power)) for j in range(len(power)) if i or j]
    mask = power > np.mean(entries) + 2 * np.std(entries)
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
    return sum(abs(a - b) for a in values for b in values) / (2 * n * n * np.mean(values))


def class_means(values, moduli):
    """Mean of each column of values over the numbers of each residue class: (classes, units)."""
    numbers = np.arange(len(values))
    return np.array([values[numbers % q == r].mean(axis=0) for q in moduli for r in range(q)])
