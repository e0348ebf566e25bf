#!/bin/sh
# Writes run.txt and test.txt anew from setup.cfg and build.in, for every supported Python.
# Arguments go to uv: `requirements/lock.sh --upgrade`, `--upgrade-package treq`.
set -eu
cd "$(dirname "$0")/.."

lock() {
    output=$1
    shift
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-emit-find-links --custom-compile-command requirements/lock.sh \
        --output-file "$output" "$@"
}

lock requirements/run.txt setup.cfg requirements/build.in "$@"
# The tests run with what the server runs with.
lock requirements/test.txt --constraint requirements/run.txt \
    --extra test --extra dev setup.cfg requirements/build.in "$@"
