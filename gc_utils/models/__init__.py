"""Networks by name, with their layers and where a layer's units look."""

from gc_utils.models.architecture import BVLC_GOOGLENET, INCEPTION5H, Architecture, Norm
from gc_utils.models.base import Model, choose_layers, pick_device
from gc_utils.models.filter_bank import KINDS, SIZE, STRIDE, FilterBank, draw_filter
from gc_utils.models.inception import InceptionModel, InceptionV1, local_response_norm
from gc_utils.models.load import available_weights, load_model
from gc_utils.models.raw_files import write_weights
from gc_utils.models.receptive_field import probe_receptive_field

__all__ = [
    "Architecture",
    "BVLC_GOOGLENET",
    "FilterBank",
    "INCEPTION5H",
    "InceptionModel",
    "InceptionV1",
    "KINDS",
    "Model",
    "Norm",
    "SIZE",
    "STRIDE",
    "available_weights",
    "choose_layers",
    "draw_filter",
    "load_model",
    "local_response_norm",
    "pick_device",
    "probe_receptive_field",
    "write_weights",
]
