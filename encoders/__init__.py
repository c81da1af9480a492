"""The models of the supported papers, in PyTorch: encoder, prior and receiver, and their original checkpoints.

Importing this package is cheap; torch is imported when a model is built.
"""

from encoders import catalogue as catalogue
from encoders.registry import MODELS, ModelSpec, register, spec

__all__ = ["MODELS", "ModelSpec", "register", "spec"]
