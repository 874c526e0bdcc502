"""Where the runs of a sweep are run: `local`, side by side on this machine, or `slurm`.

Hydra's own launchers compose a run's config where the run runs, so a file edited in the middle of
a sweep changes what it does, and the first failure hides the results of the others. These take
configs that are composed and checked, and give one outcome for each.
"""
