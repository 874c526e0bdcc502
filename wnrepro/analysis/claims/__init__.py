"""Every claim of the paper with its criterion, our number and a verdict.

`criteria` says what is claimed and what would confirm it, `measures` what is measured, `judgement`
how a verdict follows, `rendering` how it is shown.
"""
