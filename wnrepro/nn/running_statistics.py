"""What the batch norms share: running averages that torch's tools find."""

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


class RunningStatistics(_BatchNorm):
    """A batch norm whose averages move as running ← (1 − momentum)·running + momentum·batch.

    It is of the class by which torch's tools find batch norms, and does what they ask for:

    - `momentum = None` (`torch.optim.swa_utils.update_bn`): the plain mean over all batches since
      `reset_running_stats`;
    - `running_mean = None` (`torch.func.replace_all_batch_norm_modules_`): no averages; the batch's
      own statistics in evaluation too.

    What would put torch's batch norm in its place (`SyncBatchNorm.convert_sync_batchnorm`) is an
    AttributeError that says so.

    Raises ValueError if momentum does not lie in [0, 1] at the start: None is not saved.
    """

    running_mean: Any  # a Tensor or None
    running_var: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        momentum: float,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        nn.Module.__init__(self)  # torch's own would make parameters
        if momentum is None or not 0 <= momentum <= 1:
            raise ValueError(f"momentum must lie in [0, 1], got {momentum}")
        self.num_features = num_features
        self.momentum: float | None = momentum
        self.track_running_stats = True
        self.register_buffer("running_mean", torch.zeros(num_features, device=device, dtype=dtype))
        count = torch.zeros((), dtype=torch.int64, device=device)  # of batches without a momentum
        self.register_buffer("num_batches_tracked", count, persistent=False)

    @property
    def takes_batch(self) -> bool:
        """Whether it takes the statistics of the batch, and not the running averages."""
        return self.training or self.running_mean is None

    @torch.no_grad()
    def follow(self, mean: Tensor, var: Tensor | None = None) -> None:
        """Moves the running averages towards those of a batch, (C,)."""
        if self.running_mean is None or not self.training:
            return
        weight = self.momentum
        if weight is None:
            assert self.num_batches_tracked is not None
            weight = (1 / self.num_batches_tracked.add_(1)).to(self.running_mean.dtype)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), weight)
        if var is not None and self.running_var is not None:
            self.running_var.lerp_(var, weight)

    def reset_running_stats(self) -> None:
        """running_mean ← 0 and, where there is one, running_var ← 1."""
        if self.running_mean is not None and self.num_batches_tracked is not None:
            self.running_mean.zero_()
            self.num_batches_tracked.zero_()
        if self.running_var is not None:
            self.running_var.fill_(1)

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            if name in ("affine", "eps"):  # who asks is about to build torch's in its place
                raise AttributeError(
                    f"{type(self).__name__} has no {name}, for it cannot become torch's batch norm "
                    "or SyncBatchNorm, which take other statistics: convert the other layers one "
                    "by one (under DDP each process then takes the statistics of its own batch)"
                )
            return super().__getattr__(name)

        def _load_from_state_dict(self, *args: Any) -> None:
            # torch's batch norm would add a number of batches, which is not saved here
            nn.Module._load_from_state_dict(self, *args)
