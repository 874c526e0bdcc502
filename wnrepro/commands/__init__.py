"""What a person types, but for `python -m wnrepro.train` itself.

evidence.py       the queue of sweeps that the evidence is made of
overview.py       how far runs are, and what a sweep would still take
sweep.py          many configs from one command line, all checked before the first runs
launchers/        how a sweep is spread: over this machine, or over a cluster
command_line.py   the options of a command, and errors of one line
composition.py    from overrides to checked configs, one for each run
mistakes.py       what Hydra cannot compose, in one line
"""
