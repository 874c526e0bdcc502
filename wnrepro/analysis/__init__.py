"""From the records of runs to statistics, tables and figures. Imports neither torch nor wandb."""
