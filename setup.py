"""What pyproject.toml cannot say: an installed package carries the notebooks, without outputs.

With them `python -m gc_utils run` works where there is no copy of the repository, as in Colab.
"""

import json
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithNotebooks(build_py):
    """Copies `notebooks/*.ipynb` into the package that is built."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:  # the repository's own are used
            return
        target = Path(self.build_lib) / "gc_utils" / "_notebooks"
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted(Path("notebooks").glob("*.ipynb")):
            notebook = json.loads(path.read_text(encoding="utf-8"))
            for cell in notebook["cells"]:
                if cell["cell_type"] == "code":
                    cell |= {"outputs": [], "execution_count": None}
            text = json.dumps(notebook, indent=1, ensure_ascii=False)
            (target / path.name).write_text(text + "\n", encoding="utf-8")


setup(cmdclass={"build_py": BuildWithNotebooks})
