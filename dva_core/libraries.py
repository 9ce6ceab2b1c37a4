"""Libraries that only some uses need: imported when they are, and missed in one sentence."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from .errors import DvaError

PACKAGES = "facexlib insightface onnxruntime open-clip-torch torchvision gdown"


def library(name: str, purpose: str) -> ModuleType:
    """The module `name`, such as "facexlib.parsing.bisenet"; DvaError saying how to get it when it does not load.

    `purpose` starts the sentence: "The published encoders" need facexlib.
    """
    package = name.partition(".")[0]
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or package
        raise DvaError(
            f"{purpose} need the Python package {missing}; install what real faces need, in the Python that runs this: "
            f"pip install {PACKAGES}."
        ) from error
    except (ImportError, OSError, RuntimeError) as error:
        # A torchvision built for another PyTorch, or for CUDA beside a PyTorch without it, fails with any of these.
        raise DvaError(
            f"{purpose} need the Python package {package}, which is installed but does not load "
            f"({str(error).splitlines()[0]}); install torch and torchvision again, both from the same place."
        ) from error
