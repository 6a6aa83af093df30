"""Times and ratios in words."""


def time(nanoseconds: float) -> str:
    """A time to three digits."""
    for unit, size in (("ns", 1), ("us", 1e3), ("ms", 1e6), ("s", 1e9)):
        if nanoseconds < 999.5 * size or unit == "s":
            value = nanoseconds / size
            digits = 0 if unit == "ns" or value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:.{digits}f} {unit}"
    raise AssertionError


def ratio(value: float) -> str:
    return f"{value:.0f}x" if value >= 9.95 else f"{value:.1f}x" if value >= 0.95 else f"{value:.2f}x"
