"""The shape of a latent pyramid: its grids, their channels, and how wide the networks are."""

LEVELS = 7
#: Channels of the grids, the finest first: lightness is finer than colour.
CHANNELS = (1, 1, 3, 3, 3, 3, 3)
#: Features that pass from level to level, hidden units that paint, units of the entropy network.
FEATURES = 8
HIDDEN = 32
UNITS = 24
#: float64 holds every whole number below it, and so every sum that stays below.
EXACT = 2**53
#: A level's grid has a node for each 2**level pixels; the largest cell is so wide.
CELL = 2 ** (LEVELS - 1)


def is_too_thin(height: int, width: int) -> bool:
    """Return whether the margins of a pyramid would take far more than the picture does.

    >>> is_too_thin(1, 2**21), is_too_thin(1, 2**20), is_too_thin(2**15, 2**15)
    (True, False, False)
    """
    with_margins = (height + 2 * CELL) * (width + 2 * CELL)
    return with_margins > max(2**28, 2 * height * width)  # 2**28: some GB


def shapes(height: int, width: int, finest: int = 0) -> list[tuple[int, int, int]]:
    """Return channels, height and width of the grids of a picture, the finest first.

    >>> shapes(5, 130, finest=4)
    [(3, 1, 9), (3, 1, 5), (3, 1, 3)]
    """
    return [(CHANNELS[i], -(-height // 2**i), -(-width // 2**i)) for i in range(finest, LEVELS)]
