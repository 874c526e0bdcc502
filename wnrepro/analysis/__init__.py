"""From the records of runs to statistics, tables and figures. Imports neither torch nor wandb."""

from wnrepro import headless as headless  # before any module here imports matplotlib
