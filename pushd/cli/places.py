"""Where things are unless somebody says otherwise."""

from pathlib import Path

DEFAULT_CONFIG = Path("/etc/pushd/pushd.yml")
