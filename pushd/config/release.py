"""Which pushd this is. A server tells what it runs, also when another one is installed by now."""

RELEASE = "0.1.0"  # setup.cfg takes it from here
