"""Inputs chosen by atheris, which follows what they reach; it is no requirement of the project."""

import sys

from tests.fuzz import targets


def run(name: str, seed: int, inputs: int) -> None:
    """Run a target under atheris until it breaks or the inputs are through; does not return."""
    try:
        import atheris
    except ImportError:
        sys.exit("--coverage needs atheris: pip install atheris")
    with atheris.instrument_imports(include=["pushd"]):
        target = targets.load(name)
    folder = str(targets.CORPUS / name)
    options = [f"-runs={inputs}", f"-seed={seed}", "-max_len=4096", "-timeout=10"]
    options.append(f"-artifact_prefix={folder}/found-")
    # What it learns goes to a folder of its own; the corpus stays small.
    learnt = targets.CORPUS.parents[1] / "build" / "fuzz" / name
    learnt.mkdir(parents=True, exist_ok=True)
    atheris.Setup([sys.argv[0], *options, str(learnt), folder], target.one)
    atheris.Fuzz()
