"""What a person types, but for `python -m wnrepro.train` itself.

evidence.py       the queue of sweeps that the evidence is made of
overview.py       how far runs are, and what a sweep would still take
sweep.py          many configs from one command line, all checked before the first runs
launchers/        how a sweep is spread: over this machine, or over a cluster
command_line.py   from the command line to a checked config, with errors of one line
"""
