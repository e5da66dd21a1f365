"""Experiments by name: the paper's at p = 113, and small ones for a laptop."""

from .config import Config, ModelConfig, OptimConfig, TaskConfig, TrainConfig

_MIIII = Config()
_NANDA = Config(
    task=TaskConfig(name="nanda", train_fraction=0.3),
    model=ModelConfig(d_model=128, dropout=0.0),
    optim=OptimConfig(learning_rate=1e-3, weight_decay=1.0, grokfast="none", grokfast_lambda=0.0),
    train=TrainConfig(epochs=20000),
)
