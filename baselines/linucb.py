"""LinUCB: speaks when even the best it may hope for is worth it, and learns from this resident alone.

The upper confidence bound of Li et al. (2010, "A contextual-bandit approach to personalized news article recommendation",
arXiv 1003.0146), with one ridge regression for each of the four marks in place of one for the reward. Run it with
``propersim run --assistants linucb`` or, with options, ``linucb:alpha=0.5:worth=0.4``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from propersim_env.baselines.bandit import Bandit, Floats, LinearModel, plain_models


class LinUCB(Bandit):
    """Per-mark ridge regressions with upper confidence bounds.

    Args:
        alpha: Standard deviations by which a mark may turn out better than its mean, >= 0.
        worth: Utility that a text must promise, -1..1, and `easing`: see `Bandit`.
        start: Probability of each mark before anything is known, 0..1.
        noise: Variance of a mark around its line, > 0; a mark that is a fair coin has 0.25, one that is nearly always
            the same much less.
        setting: Whose topics and catalogue.
    """

    def __init__(
        self, alpha: float = 0.6, worth: float = 0.65, easing: float = 0.4, start: float = 0.6, noise: float = 0.06,
        setting: str = "house",
    ) -> None:
        if alpha < 0:
            raise ValueError(f"alpha={alpha} is negative: choose 0 (no exploration) or more")
        super().__init__(worth, easing, setting)
        self.alpha, self.start, self.noise = alpha, start, noise

    def begin(self) -> list[LinearModel]:
        """Models that expect `start` of every mark, and know nothing else."""
        return plain_models(self.world, self.start, self.noise)

    def view(self) -> None:
        """Cut out what bounds of topics need of the covariance."""
        places = self.world.places
        self._blocks = self.models[0].covariance[places[:, :, None], places[:, None, :]]

    def hopes(self, mark: int, rows: Floats, places: NDArray[np.int64] | None = None) -> Floats:
        """Upper confidence bounds."""
        model = self.models[mark]
        if places is None:
            mean = rows @ model.mean
            variance = ((rows @ model.covariance) * rows).sum(axis=1)
        else:
            mean = (rows * model.mean[places]).sum(axis=1)
            variance = (np.matmul(self._blocks, rows[:, :, None])[:, :, 0] * rows).sum(axis=1)
        bound: Floats = mean + self.alpha * np.sqrt(np.maximum(variance, 0.0))
        return bound
