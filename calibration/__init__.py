"""Pictures to calibrate and check with: a deterministic choice from folders, archives and shards."""

from calibration.choice import Pictures, Selection, choose
from calibration.sources import Keys

__all__ = ["Keys", "Pictures", "Selection", "choose"]
