"""The PyTorch step among the contenders, and its result beside ours. Needs PyTorch."""

import jax
import torch

from miiii_core.config import Precision
from miiii_core.network.model import Transformer
from miiii_core.training import train

from .equality import Result, first_masks
from .timing import Contender
from .torch_step import TorchTraining, multiply_in, timed


def torch_result(problem: train.Problem, model: Transformer) -> Result:
    """Its first training step in float64, under the masks that ours draws."""
    training = TorchTraining(model, problem, dtype=torch.float64)
    loss = training.loss(torch.from_numpy(first_masks(problem).copy()))
    loss.backward()
    gradient = {name: w.grad.numpy() for name, w in training.weights.items() if w.grad is not None}
    return Result(float(loss.detach()), gradient)


def torch_contender(problem: train.Problem, model: Transformer, precision: Precision) -> Contender:
    """Its step, to be timed on the device that JAX computes on."""
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    multiply, _ = multiply_in(precision, device)
    training = TorchTraining(model, problem, multiply=multiply, device=device)
    return Contender(f"torch {precision}", lambda n: timed(training.step, n, device))


def torch_versions() -> dict[str, str]:
    """PyTorch's version, and how it multiplies in bfloat16 here."""
    device = "cpu" if jax.default_backend() == "cpu" else "cuda"
    return {"version": torch.__version__, "bfloat16": multiply_in("bfloat16", device)[1]}
