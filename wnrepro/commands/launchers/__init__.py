"""Where the runs of a sweep are run: `local`, side by side on this machine.

Hydra's own launchers compose a run's config where the run runs, so a file edited in the middle of
a sweep changes what it does, and the first failure hides the results of the others. This takes
configs that are composed and checked, and gives one outcome for each.
"""
