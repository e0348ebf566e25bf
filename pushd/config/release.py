"""Which pushd this is."""

from importlib.metadata import PackageNotFoundError, version


def release() -> str:
    """The version of pushd, as it was installed."""
    try:
        return version("pushd")
    except PackageNotFoundError:
        return "(not installed)"
