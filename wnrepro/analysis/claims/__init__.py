"""Every claim of the paper with its criterion, our number and a verdict.

`claim` says what a claim is. `criteria` says what is claimed of CIFAR-10 and what would confirm it,
`other_experiments` the same of VAEs and DRAW. `measures` says what is measured, `judgement` how a
verdict follows, `rendering` how it is shown.
"""
