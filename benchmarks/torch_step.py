"""The same training step in eager PyTorch, to measure ours against.

As one would write it with some care: keys and values are tables of tokens, only the
read-out token goes through the neurons, AdamW is PyTorch's own, fused. But every
operation runs by itself, as it is written. In bfloat16 the same four products are
rounded as ours are, and all else is float32.
"""

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from miiii_core import train
from miiii_core.config import ModelConfig, Precision
from miiii_core.model import Transformer

from .timing import Contender

Multiply = Callable[[Tensor, Tensor], Tensor]


class TorchTraining:
    """Weights, data and optimiser; each `step` is one full-batch update."""

    def __init__(
        self,
        model: Transformer,
        problem: train.Problem,
        *,
        multiply: Multiply = torch.matmul,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
    ):
        """Copy our weights and data; ``multiply`` takes the four large products."""
        self.config, self.multiply = problem.config, multiply
        self.weights = {
            name: _tensor(w, device, dtype).requires_grad_() for name, w in model.weights.items()
        }
        self.digits = _tensor(problem.digits, device, torch.long)
        self.targets = _tensor(problem.targets, device, torch.long)
        self.loss_weights = _tensor(problem.loss_weights, device, dtype)
        self.class_sizes = list(problem.class_sizes)
        optim = problem.config.optim
        self.optimiser = torch.optim.AdamW(
            list(self.weights.values()), lr=optim.learning_rate, betas=(optim.beta1, optim.beta2),
            eps=optim.eps, weight_decay=optim.weight_decay, fused=True,
        )  # fmt: skip
        self.slow = {name: torch.zeros_like(w) for name, w in self.weights.items()}

    def step(self) -> Tensor:
        """Take one update with masks of its own; returns the loss before it."""
        self.optimiser.zero_grad()
        loss = self.loss(self.draw_masks())
        loss.backward()
        self.filter_gradients()
        self.optimiser.step()
        return loss.detach()

    def filter_gradients(self) -> None:
        """Add to each gradient its exponential mean, as Grokfast does from a zero start."""
        optim = self.config.optim
        if optim.grokfast == "none" or optim.grokfast_lambda == 0:
            return
        for name, weight in self.weights.items():
            assert weight.grad is not None
            self.slow[name].lerp_(weight.grad, 1 - optim.grokfast_alpha)
            weight.grad.add_(self.slow[name], alpha=optim.grokfast_lambda)

    def loss(self, masks: Tensor) -> Tensor:
        """The weighted mean of every task's cross-entropy.

        Args:
            masks: (2, d_model) or (n, 2, d_model), for the stream after each add.
        """
        logits = self._logits(masks).split(self.class_sizes, dim=1)
        losses = map(F.cross_entropy, logits, self.targets.unbind(1))
        return torch.stack(list(losses)) @ self.loss_weights

    def draw_masks(self) -> Tensor:
        """Dropout masks: one for each add, and for each input if asked."""
        config: ModelConfig = self.config.model
        shape = (len(self.digits), 2) if config.dropout_mask == "sample" else (2,)
        keep = torch.full((*shape, config.d_model), 1 - config.dropout, device=self.digits.device)
        return torch.bernoulli(keep) / (1 - config.dropout)

    def _logits(self, masks: Tensor) -> Tensor:
        mixed, resid_pre = self._attend()
        w, multiply = self.weights, self.multiply
        heads_to_stream = w["W_O"].reshape(-1, len(resid_pre))
        stream = (resid_pre + multiply(mixed, heads_to_stream)) * masks[..., 0, :]
        neurons = torch.relu(multiply(stream, w["W_in"]))
        stream = (stream + multiply(neurons, w["W_out"])) * masks[..., 1, :]
        return multiply(stream, w["W_U"])

    def _attend(self) -> tuple[Tensor, Tensor]:
        """The values that the read-out token mixes, and its own embedding."""
        w, p = self.weights, len(self.weights["W_E"]) - 1
        resid_pre = w["W_E"][p] + w["W_pos"][2]
        digits = w["W_E"][:p]
        tokens = torch.cat([digits + w["W_pos"][0], digits + w["W_pos"][1], resid_pre[None]])
        query = torch.einsum("d,hde->he", resid_pre, w["W_Q"])
        keys = torch.einsum("td,hde->the", tokens, w["W_K"])
        values = torch.einsum("td,hde->the", tokens, w["W_V"])
        scores = torch.einsum("the,he->th", keys, query) / query.shape[1] ** 0.5
        readout = torch.full_like(self.digits[:, :1], 2 * p)
        rows = torch.cat([self.digits[:, :1], p + self.digits[:, 1:], readout], dim=1)
        attention = F.embedding(rows, scores).softmax(dim=1)
        seen = F.embedding(rows, values.flatten(1)).unflatten(2, values.shape[1:])
        return (attention[..., None] * seen).sum(dim=1).flatten(1), resid_pre


def contender(problem: train.Problem, model: Transformer, precision: Precision) -> Contender:
    """Its step, to be timed on the device that JAX computes on."""
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    multiply = _fastest_rounded(device) if precision == "bfloat16" else torch.matmul
    training = TorchTraining(model, problem, multiply=multiply, device=device)
    return Contender(f"torch {precision}", lambda n: timed(training.step, n, device))


def gradient(
    problem: train.Problem, model: Transformer, masks: np.ndarray
) -> dict[str, np.ndarray]:
    """The gradient of its first step in float64, under the masks that ours draws."""
    training = TorchTraining(model, problem, dtype=torch.float64)
    training.loss(torch.from_numpy(masks.copy())).backward()
    return {name: w.grad.numpy() for name, w in training.weights.items() if w.grad is not None}


@cache
def _fastest_rounded(device: str) -> Multiply:
    """The faster way to multiply rounded operands.

    Not every processor has bfloat16 products, and PyTorch is very slow without: there the
    operands are rounded, and multiplied in float32.
    """
    x = torch.ones(512, 512, device=device)

    def seconds(way: Multiply) -> float:
        return min(timed(lambda: way(x, x), 1, device) for _ in range(3))

    return min((_native, _widened), key=seconds)


# Both round the sum as well, which is in PyTorch's favour, and in the backward pass the gradient.
def _native(x: Tensor, weight: Tensor) -> Tensor:
    return (x.bfloat16() @ weight.bfloat16()).float()


def _widened(x: Tensor, weight: Tensor) -> Tensor:
    return (x.bfloat16().float() @ weight.bfloat16().float()).bfloat16().float()


def timed(call: Callable[[], Any], n: int, device: str) -> float:
    """Seconds that n calls take, until the device is done."""
    began = time.perf_counter()
    for _ in range(n):
        call()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _tensor(array: Any, device: str, dtype: torch.dtype) -> Tensor:
    return torch.tensor(np.asarray(array), device=device, dtype=dtype)
