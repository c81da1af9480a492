"""The one thing pyproject.toml cannot say in a stable way: an extension that may fail to build."""

from setuptools import Extension, setup

setup(
    ext_modules=[
        # A plain C library that Python loads with ctypes. Without a compiler the install still succeeds, and coding
        # falls back to constriction or to pure Python.
        Extension(
            "runtime.coder._range_coder",
            sources=["runtime/coder/plain.c", "runtime/coder/context.c", "runtime/coder/hyper.c"],
            depends=["runtime/coder/range.h", "runtime/coder/plain.h"],
            extra_compile_args=["-O3"],
            optional=True,
        )
    ]
)
