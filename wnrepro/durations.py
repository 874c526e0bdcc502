"""How long something takes, as people say it."""


def in_words(seconds: float) -> str:
    """`40 s`, `12 min`, `3.4 h`, `2.1 days`"""
    for size, unit in ((86400, "days"), (3600, "h"), (60, "min")):
        if seconds >= 1.5 * size:
            value = seconds / size
            return f"{value:.0f} {unit}" if value >= 10 else f"{value:.1f} {unit}"
    return f"{max(seconds, 1):.0f} s"
