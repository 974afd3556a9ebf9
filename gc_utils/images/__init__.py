"""Where images come from, and every image under every element of the group."""

from gc_utils.images.labelled import Task, check_task, load_task
from gc_utils.images.orbits import BLUR, complete, disc, image_orbit, low_pass, orbit, sample
from gc_utils.images.photographs import (
    BUNDLED,
    LARGEST_SHORT_SIDE,
    ImageSet,
    Photograph,
    decode_image,
    image_files,
    is_scene,
    load_images,
)
from gc_utils.images.points import assign_folds, possible_folds, sample_points
from gc_utils.images.stimuli import (
    GREY,
    KINDS,
    LUMA,
    StimulusBank,
    draw,
    stimulus_bank,
)

__all__ = [
    "BLUR",
    "BUNDLED",
    "GREY",
    "ImageSet",
    "KINDS",
    "LARGEST_SHORT_SIDE",
    "LUMA",
    "Photograph",
    "StimulusBank",
    "Task",
    "assign_folds",
    "check_task",
    "complete",
    "decode_image",
    "disc",
    "draw",
    "image_files",
    "is_scene",
    "load_images",
    "load_task",
    "low_pass",
    "orbit",
    "possible_folds",
    "sample",
    "sample_points",
    "stimulus_bank",
    "image_orbit",
]
