"""Libraries that are imported when they are first used: collecting the tests needs none of them."""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any


class _Lazy(ModuleType):
    """A module that is imported when a public name of it is first asked for.

    pytest asks every object of a test module for private ones, to see whether it is a mock or a wrapper.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        found = getattr(importlib.import_module(self.__name__), name)
        setattr(self, name, found)
        return found


if TYPE_CHECKING:
    import filelock
    import numpy as np
    import psutil

    __all__ = ["filelock", "np", "psutil"]
else:
    filelock, np, psutil = _Lazy("filelock"), _Lazy("numpy"), _Lazy("psutil")
