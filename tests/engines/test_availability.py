import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engines.availability import REQUIRE, require_file, require_program
from tests.engines.swiftshader import swiftshader_environment


def test_a_missing_engine_skips_and_says_what_to_install(monkeypatch):
    monkeypatch.delenv(REQUIRE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-engine on PATH: ask the vendor"):
        require_program("no-such-engine", install="ask the vendor")


def test_a_missing_engine_fails_where_skipping_is_forbidden(monkeypatch):
    monkeypatch.setenv(REQUIRE, "1")
    with pytest.raises(pytest.fail.Exception, match=f"{REQUIRE}=1"):
        require_file(Path("/nonexistent/engine"), "ask the vendor")


def test_the_first_program_found_is_taken():
    assert require_program("no-such-engine", "sh", install="").name == "sh"


@pytest.mark.gpu
def test_the_software_gpu_names_a_driver_that_exists():
    environment = swiftshader_environment()
    assert Path(environment["VK_DRIVER_FILES"]).is_file()
    assert environment["VK_ICD_FILENAMES"] == environment["VK_DRIVER_FILES"]


@pytest.mark.gpu
def test_the_vulkan_loader_loads_with_that_environment():
    """Without the loader every GPU test would say that there is no GPU."""
    code = "import ctypes; ctypes.CDLL('libvulkan.so.1').vkCreateInstance"
    environment = {**os.environ, **swiftshader_environment()}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
