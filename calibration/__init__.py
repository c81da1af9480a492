"""Pictures to calibrate and check with."""

from calibration.pictures import from_folder

__all__ = ["from_folder"]
