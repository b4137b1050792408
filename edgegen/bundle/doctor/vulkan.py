"""A Vulkan in software, so that the GPU delegate's kernels run on a machine without a GPU."""

from __future__ import annotations

import ctypes.util
import os
from pathlib import Path

# Debian's chromium package brings SwiftShader, and a Vulkan loader of its own.
CHROMIUM = Path("/usr/lib/chromium")


def software_vulkan(folder: Path = CHROMIUM) -> dict[str, str] | None:
    """Return the variables that let a fresh process find SwiftShader, and no other driver.

    `None` where it is not installed.
    """
    driver = folder / "vk_swiftshader_icd.json"
    if not driver.is_file():
        return None
    # Loaders since 1.3.207 read the first name, older ones the second.
    found = {"VK_DRIVER_FILES": str(driver), "VK_ICD_FILENAMES": str(driver)}
    if ctypes.util.find_library("vulkan") is None:
        # The loader itself: chromium's lies out of the linker's sight.
        if not (folder / "libvulkan.so.1").is_file():
            return None
        before = os.environ.get("LD_LIBRARY_PATH")
        found["LD_LIBRARY_PATH"] = f"{folder}:{before}" if before else str(folder)
    return found
