"""Vulkan in software, so that the GPU delegate's kernels run on a machine without a GPU."""

from __future__ import annotations

import ctypes.util
import os
from pathlib import Path

from tests.engines.availability import require_file

CHROMIUM = Path("/usr/lib/chromium")
INSTALL = "on Debian: apt-get install chromium"


def swiftshader_environment() -> dict[str, str]:
    """Return the variables that let the GPU delegate find SwiftShader, and no other driver.

    Add them to the environment of a fresh process: the loader reads them once, and on
    SwiftShader only the first generation of a process is reliable.
    """
    icd = str(require_file(CHROMIUM / "vk_swiftshader_icd.json", INSTALL))
    # Loaders since 1.3.207 read the first name, older ones the second.
    environment = {"VK_DRIVER_FILES": icd, "VK_ICD_FILENAMES": icd}
    if ctypes.util.find_library("vulkan") is None:
        # The loader itself: Debian's chromium brings its own, out of the linker's sight.
        require_file(CHROMIUM / "libvulkan.so.1", INSTALL)
        before = os.environ.get("LD_LIBRARY_PATH")
        environment["LD_LIBRARY_PATH"] = f"{CHROMIUM}:{before}" if before else str(CHROMIUM)
    return environment
