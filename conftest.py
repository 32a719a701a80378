"""Set-up of the suite: a CPU, no compilation cache in a user's home, shapes checked."""

import os

from beartype import BeartypeConf, beartype

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("MPLBACKEND", "agg")
os.environ["COORDNET_CACHE"] = "off"

# what jaxtyping's import hook checks every call with: an int serves where a float is asked for
typechecker = beartype(conf=BeartypeConf(is_pep484_tower=True))
