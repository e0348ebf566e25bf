"""Which pushd this is."""


def release() -> str:
    """The version of pushd, as it was installed."""
    # Seldom asked for, and what it takes to answer stays in memory.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("pushd")
    except PackageNotFoundError:
        return "(not installed)"
