"""Export a trained encoder, or its receiver, to a bundle that the runtime opens."""

from export.pipeline import export
from export.request import Exported, Request

__all__ = ["Exported", "Request", "export"]
