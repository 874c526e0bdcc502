"""The paper's optimiser and schedule."""

from wnrepro.optim.adam import Adam
from wnrepro.optim.schedule import Schedule

__all__ = ["Adam", "Schedule"]
