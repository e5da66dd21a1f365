"""What a run has recorded: named arrays, each with named axes."""

from collections.abc import Iterator, Mapping

import numpy as np

from ..tasks import SPLITS


class Metrics(Mapping[str, np.ndarray]):
    """Recorded arrays by name; ``axes`` names every axis.

    The first axis is the epoch of the record: ``epoch`` for what is recorded at every tick,
    ``wide_epoch`` for what is recorded at fewer, and others for what was measured afterwards.
    All are arrays here themselves.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], axes: Mapping[str, tuple[str, ...]]):
        """Wrap arrays.

        Args:
            arrays: Each with one of the epochs as its first axis.
            axes: Names of each array's axes.
        """
        self._arrays, self.axes = dict(arrays), dict(axes)

    def __getitem__(self, name: str) -> np.ndarray:
        """One array; an unknown name lists the known ones."""
        if name not in self._arrays:
            raise KeyError(f"{name!r} was not recorded; recorded are {sorted(self._arrays)}")
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        """Names."""
        return iter(self._arrays)

    def __len__(self) -> int:
        """How many arrays."""
        return len(self._arrays)

    def split(self, name: str, split: str) -> np.ndarray:
        """One split of a per-split metric: (epoch, task)."""
        return self[name][:, SPLITS.index(split)]

    def joined(self, other: "Metrics") -> "Metrics":
        """These arrays and others, none of which have the same name."""
        if both := set(self) & set(other):
            raise ValueError(f"{sorted(both)} are in both; each array needs a name of its own")
        return Metrics({**self, **other}, {**self.axes, **other.axes})

    def until(self, epoch: int) -> "Metrics":
        """Only what was recorded up to an epoch."""
        keep = {first: self[first] <= epoch for first, *_ in self.axes.values()}
        kept = {name: array[keep[self.axes[name][0]]] for name, array in self.items()}
        return Metrics(kept, self.axes)
