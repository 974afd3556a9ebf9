# Install gc_utils where it is missing, as in Colab. Where it is there, this does nothing.
import importlib
import importlib.util

if importlib.util.find_spec("gc_utils") is None:
    import os
    import subprocess
    import sys
    from importlib.metadata import distributions

    source = os.environ.get("GC_UTILS_SOURCE", "git+https://github.com/group-crosscoders/companion")
    # The torch that is there stays as it is: it may be built for this machine.
    there = {d.name.lower(): f"{d.name}=={d.version}" for d in distributions() if d.name}
    kept = [there[name] for name in ("torch", "torchvision") if name in there]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", source, *kept], check=True)
    importlib.invalidate_caches()
