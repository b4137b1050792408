"""A device without a device: an adbd in Python, for tests of whatever speaks to one.

It speaks the protocol over TCP to any adb client, runs real shell commands, keeps files in a
folder of yours, answers Android's own commands from a script, and fails as you tell it:

    with Adbd(folder) as device:
        transport = edgegen.device.transports.connect(device.serial)

`python -m edgegen.device.testing --root DIR` runs one by itself.
"""

from __future__ import annotations

from edgegen.device.testing.adbd import ANDROID_FEATURES, Adbd
from edgegen.device.testing.faults import Faults
from edgegen.device.testing.scripted import DUMPSYS, PROPERTIES

__all__ = ["ANDROID_FEATURES", "DUMPSYS", "PROPERTIES", "Adbd", "Faults"]
