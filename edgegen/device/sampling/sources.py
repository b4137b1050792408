"""Where Linux and Android tell what is sampled; for the sampler in sh and the one in Python alike.

Paths are relative to `/sys`; `*` stands for any name. Their forms are those of the kernel's
documentation and of the makers' published kernels.
"""

from __future__ import annotations

# The lines of /proc/PID/status, and the columns that they become.
STATUS = {
    "VmHWM": "hwm_kib",
    "VmRSS": "rss_kib",
    "RssAnon": "rss_anon_kib",
    "RssFile": "rss_file_kib",
    "RssShmem": "rss_shmem_kib",
    "VmSwap": "swap_kib",
}
# The first that can be read is the GPU's clock.
GPU_CLOCKS = (
    ("class/kgsl/kgsl-3d0/gpuclk", "gpu_hz"),
    ("class/kgsl/kgsl-3d0/devfreq/cur_freq", "gpu_hz"),
    ("class/misc/mali0/device/devfreq/*/cur_freq", "gpu_hz"),
    ("class/devfreq/*mali*/cur_freq", "gpu_hz"),
    ("class/devfreq/*gpu*/cur_freq", "gpu_hz"),
    ("devices/platform/*.mali/cur_freq", "gpu_khz"),
)
CURRENTS = tuple(
    f"class/power_supply/{name}/current_now" for name in ("battery", "BAT0", "BAT1", "bms")
)
CPU_CLOCKS = "devices/system/cpu/cpufreq/policy*/scaling_cur_freq"
THERMAL_ZONES = "class/thermal/thermal_zone*"
# Packages alone: their parts count again what is in them.
RAPL = "class/powercap/intel-rapl:*"
ZONE_LIMIT = 128
CPU_LIMIT = 64

# What reading costs decides how often. Each open file is looked at for buffers, and some sensors
# sit behind a slow bus. dumpsys starts a program, and for PSS the kernel walks the page tables,
# milliseconds for each GB: it is read as often as the former while a process starts, then seldom.
SLOW_S = 0.5
SERVICE_S = 2.0
