"""The seam through which wokkel is imported.

wokkel 18.0.0 looks for two names that Twisted has dropped since: `_PY3` and the
module `twisted.python.constants`, which lives on as the package constantly. They
are put back before its first import; so import wokkel's modules from here:

    from pushd.wire.compat import pubsub

Each is loaded when it is first asked for, as loading them takes a while.
"""

import importlib
import sys
import warnings
from types import ModuleType

from twisted.python import compat as twisted_compat

__all__ = ["data_form", "disco", "pubsub"]  # noqa: F822  # made by __getattr__

vars(twisted_compat).setdefault("_PY3", True)
sys.modules.setdefault("twisted.python.constants", importlib.import_module("constantly"))


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # names of Python 2's days
            return importlib.import_module(f"wokkel.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
