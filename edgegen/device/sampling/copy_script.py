"""What measures a device's memory: a program in plain Python, and one in `sh` for where none is.

Each prints `edgegen-copy METHOD WORKERS BYTES MARK...`, where the marks are pairs of clock
readings around each pass, in nanoseconds or, with a point in them, in seconds.
"""

from __future__ import annotations

# Anonymous memory, written before so that it is there, copied by the C library without the
# interpreter's lock. Much more than the last cache holds, of which machines may have several.
PYTHON = r"""
import ctypes, mmap, os, re, threading, time

def told(path, pattern):
    try:
        found = re.search(pattern, open(path).read(65536))
        return int(found.group(1)) if found else 0
    except (OSError, ValueError):
        return 0

caches = ["/sys/devices/system/cpu/cpu0/cache/index%d/size" % n for n in range(6)]
cache = max(told(path, r"(\d+)K") for path in caches) * 1024
available = told("/proc/meminfo", r"MemAvailable:\s+(\d+)") * 1024
workers = min(len(os.sched_getaffinity(0)), 16)
size = min(max(2 * cache, 256 << 20), 512 << 20, available // 8) // workers // 4096 * 4096
barrier = threading.Barrier(workers + 1)
going, marks = [True], []

def work():
    blocks = [mmap.mmap(-1, size) for _ in range(2)]
    source, target = [ctypes.addressof(ctypes.c_char.from_buffer(b)) for b in blocks]
    for address in (source, target):
        ctypes.memset(address, 1, size)
    while True:
        barrier.wait()
        if not going[0]:
            return
        ctypes.memmove(target, source, size)
        barrier.wait()

if size * workers >= 32 << 20:
    for _ in range(workers):
        threading.Thread(target=work, daemon=True).start()
    end = None
    while len(marks) < 80 and (end is None or len(marks) < 10 or time.monotonic() < end):
        barrier.wait()
        end = end or time.monotonic() + 1.0
        marks.append(time.perf_counter_ns())
        barrier.wait()
        marks.append(time.perf_counter_ns())
    going[0] = False
    barrier.wait()
    print("edgegen-copy memmove", workers, size * workers, *marks, flush=True)
    os._exit(0)
"""

# From /dev/zero to /dev/null dd would only clear its buffer again and again. It reads a file from
# the page cache instead, whose pages are main memory, into a buffer that stays in a core's own
# cache. Four times for each pass, so that starting dd does not count for much.
DD = r"""
clock() { c=$(date +%s%N); case $c in *[!0-9]*) read -r c v </proc/uptime ;; esac; }
workers=0
for cpu in /sys/devices/system/cpu/cpu[0-9]*; do
  read -r online <"$cpu/online" || online=1
  [ "$online" = 0 ] || workers=$((workers + 1))
done
[ $workers -le 16 ] || workers=16
available=0
while read -r key value v; do
  [ "$key" = MemAvailable: ] && available=$value
done </proc/meminfo
mib=128
[ "$available" -ge 1048576 ] || mib=32
[ "$available" -ge 262144 ] || exit 0
for folder in /dev/shm /data/local/tmp /tmp; do
  [ -d $folder ] && [ -w $folder ] && break
done
file=$folder/edgegen-copy.$$
trap 'rm -f "$file"' EXIT
trap 'exit 1' HUP INT TERM
dd if=/dev/zero of="$file" bs=1048576 count=$mib || exit 0
pass() { for n in 1 2 3 4; do dd if="$file" of=/dev/null bs=262144; done; }
marks=
for turn in 1 2 3 4 5 6; do
  clock; marks="$marks $c"
  n=0
  while [ $n -lt $workers ]; do pass & n=$((n + 1)); done
  wait
  clock; marks="$marks $c"
done
echo "edgegen-copy dd $workers $((mib * 4 * workers))$marks"
"""
