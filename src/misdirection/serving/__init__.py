"""Answers of models that an inference server runs, asked as our own sampler is asked."""

from misdirection.serving.drawing import Request, Spoken, draw, greedily
from misdirection.serving.servers import Server, reach, read_servers

__all__ = ["Request", "Server", "Spoken", "draw", "greedily", "reach", "read_servers"]
