# Install gc_utils where it is missing, as in Colab. Where it is there, this does nothing.
import importlib
import importlib.util

if importlib.util.find_spec("gc_utils") is None:
    import os
    import subprocess
    import sys
    from importlib.metadata import distributions

    # What pip installs; an environment variable of the same name goes first.
    GC_UTILS_SOURCE = ""
    if not (source := os.environ.get("GC_UTILS_SOURCE") or GC_UTILS_SOURCE):
        raise ModuleNotFoundError(
            "gc_utils is not installed here, and this notebook does not know where it is. Write "
            'between the quotes of GC_UTILS_SOURCE = "" in this cell, or into the environment '
            "variable GC_UTILS_SOURCE, one of these, and run the cell again: the path of a wheel "
            "(gc_utils-0.1.0-py3-none-any.whl), the path of a copy of the repository, or its "
            "address (git+https://github.com/OWNER/REPO)."
        )
    # The torch that is there stays as it is: it may be built for this machine.
    there = {d.name.lower(): f"{d.name}=={d.version}" for d in distributions() if d.name}
    kept = [there[name] for name in ("torch", "torchvision") if name in there]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source, *kept], check=True)
    importlib.invalidate_caches()
