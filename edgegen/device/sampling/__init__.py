"""What a run takes of a device: memory, clocks, heat and energy over time, and its state."""

from edgegen.device.sampling.conditions import conditions_of, cpu_capped
from edgegen.device.sampling.energy import joules_of
from edgegen.device.sampling.memory_copy import copy_rate
from edgegen.device.sampling.missing import missing_of
from edgegen.device.sampling.peaks import max_celsius, memory_of
from edgegen.device.sampling.process import Sampling, sampled_process
from edgegen.device.sampling.script import sampling_script
from edgegen.device.sampling.series import Series, read_series

__all__ = [
    "Sampling",
    "Series",
    "conditions_of",
    "copy_rate",
    "cpu_capped",
    "joules_of",
    "max_celsius",
    "memory_of",
    "missing_of",
    "read_series",
    "sampled_process",
    "sampling_script",
]
