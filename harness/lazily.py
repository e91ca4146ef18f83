"""NumPy, imported when it is first used: to collect the tests, and for most commands, it is not needed."""

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
    import numpy as np

    __all__ = ["np"]
else:
    np = _Lazy("numpy")
