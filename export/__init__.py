"""Export a trained encoder, or its receiver, to a bundle that the runtime opens."""

from export.pipeline import Exported, Request, export

__all__ = ["Exported", "Request", "export"]
