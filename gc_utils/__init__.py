"""Group crosscoders: sparse dictionaries of a network's activations under every rotation.

The names that a first script needs are here and are imported when they are used, so that importing
the package costs nothing; everything else is in the packages (`from gc_utils.symmetry import …`).
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "activations": ["ActivationStore", "extract"],
        "crosscoder": ["GroupCrosscoder", "TiedCrosscoder", "TrainConfig", "evaluate", "train"],
        "explorer": ["explore"],
        "families": ["orbit_distance"],
        "groups": ["group"],
        "images": ["load_images"],
        "models": ["load_model"],
        "planted": ["planted_orbits"],
        "symmetry": ["symmetry_report"],
    },
)
