"""Makes one wheel of a staged tree; what it is called and holds stands in metadata.json beside it."""

import json
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel

METADATA = json.loads(Path("metadata.json").read_text())
PLATFORM = METADATA.pop("platform", None)


class PlatformWheel(bdist_wheel):
    """For one platform, and for every Python: the library in it is none of Python's extensions."""

    def finalize_options(self) -> None:
        """See setuptools."""
        super().finalize_options()
        self.root_is_pure = PLATFORM is None

    def get_tag(self) -> tuple[str, str, str]:
        """See setuptools."""
        return "py3", "none", PLATFORM or "any"


class WithLibrary(Distribution):
    """Belongs where platforms differ, as soon as there is a library."""

    def has_ext_modules(self) -> bool:
        """See setuptools."""
        return PLATFORM is not None


setup(distclass=WithLibrary, cmdclass={"bdist_wheel": PlatformWheel}, include_package_data=False, **METADATA)
