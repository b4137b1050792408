"""The sampler in sh, for dash, bash, BusyBox and Android's mksh.

It reads with what the shell has built in: but for `sleep`, a sample starts no program. Numbers
are passed on as they are, as text; the shell computes with small ones alone (seconds since the
machine started), since some have 32 bits only. `row` is what is being written, `v` what was read.
"""

from __future__ import annotations

from edgegen.device.sampling.sources import (
    CPU_CLOCKS,
    CPU_LIMIT,
    CURRENTS,
    GPU_CLOCKS,
    RAPL,
    THERMAL_ZONES,
    ZONE_LIMIT,
)

_CLOCKS = " ".join(f'"$sys"/{path}' for path, _ in GPU_CLOCKS)
_CURRENTS = " ".join(f'"$sys"/{path}' for path in CURRENTS)
_IN_KHZ = "|".join(f"*/{path}" for path, name in GPU_CLOCKS if name == "gpu_khz")

READERS = r"""
get() { v=; read -r v <"$1"; case $v in *[!0-9-]*) v= ;; esac; }
now() {
  case $clock in
    uptime) read -r t v <"$proc/uptime" ;;
    shell) t=$EPOCHREALTIME; t=${t%%[.,]*}.${t##*[.,]} ;;
    *) t=$(LC_ALL=C date +%s.%N); case $t in *[!0-9.]*) t=$(date +%s) ;; esac ;;
  esac
}
status() {
  state= hwm= rss= anon= file= shmem= swap=
  while read -r key value v; do
    case $key in
      State:) state=$value ;;
      VmHWM:) hwm=$value ;;
      VmRSS:) rss=$value ;;
      RssAnon:) anon=$value ;;
      RssFile:) file=$value ;;
      RssShmem:) shmem=$value ;;
      VmSwap:) swap=$value; break ;;
    esac
  done <"$proc/$pid/status"
}
pss() {
  while read -r key value v; do
    case $key in Pss:) v=$value; return ;; esac
  done <"$proc/$pid/smaps_rollup"
  v=
}
dmabuf() {
  found= known=
  for entry in "$proc/$pid/fdinfo/"*; do
    inode= size=
    while read -r key value v; do
      case $key in
        ino:) inode=$value ;;
        size:) size=$value ;;
        exp_name:) found="$found $inode:$size"; break ;;
      esac
    done <"$entry" && known=1
  done
  v=${found# }
  [ -n "$v" ] || [ -z "$known" ] || v=0
}
services() { ${bound}dumpsys "$@"; }
heat() {
  hal=
  services thermalservice | while read -r line; do
    case $line in
      "Current temperatures from HAL:"*) hal=1 ;;
      Current*) hal= ;;
      *mType=-*|*mType=[678],*) ;;
      "Temperature{mValue="*)
        value=${line#*mValue=} line=${line##*mName=}
        [ -z "$hal" ] || case ${line%%,*}=${value%%,*} in
          *[!A-Za-z0-9_.:+=-]*) ;;
          *) echo "${line%%,*}=${value%%,*}" ;;
        esac ;;
    esac
  done
}
gpu() {
  v=
  case $gpu in
    kgsl)
      get "$sys/class/kgsl/kgsl/proc/$pid/kernel"
      [ -n "$v" ] || {
        get "$sys/class/kgsl/kgsl/proc/$pid/gpumem_mapped"; mapped=$v
        get "$sys/class/kgsl/kgsl/proc/$pid/gpumem_unmapped"
        [ -n "$mapped" ] && [ -n "$v" ] && v="1:$mapped 2:$v" || v=
      } ;;
    dumpsys)
      v=$(services gpu --gpumem | while read -r a b c d e; do
        [ "$a $b $c" = "Proc $pid total:" ] && echo "${d%%,*}"
      done)
      case $v in *[!0-9]*) v= ;; esac ;;
  esac
}
gone() {
  [ -n "$watched" ] || return 1
  read -r v v state parent v <"$proc/$$/stat" || return 0
  case $state in [ZX]) return 0 ;; esac
  [ "$parent" != "$PPID" ]
}
"""

PROBE = rf"""
has() {{ [ -r "$1" ] && {{ get "$1"; [ -n "$v" ]; }}; }}
miss() {{ echo "# missing $1 $2"; }}
lack() {{
  key=$1 value=$2; shift 2
  for f in "$@"; do
    [ -e "$f" ] && {{ miss $key "a $value is there, but this user cannot read it"; return; }}
  done
  miss $key "no $value is there"
}}
label() {{ case $v in ''|*[!A-Za-z0-9_.:+-]*) v=$1 ;; esac; }}
probe() {{
  echo "# $format"
  clock=date watched= bound= often= seldom= fast= slower= gpu= gaps= n=0
  read -r t v <"$proc/uptime" && clock=uptime
  [ $clock = date ] && [ -n "$EPOCHREALTIME" ] && clock=shell
  echo "# clock $clock"
  read -r v v v parent v <"$proc/$$/stat" && [ "$parent" = "$PPID" ] && watched=1
  command -v timeout >/dev/null && bound="timeout 1 "
  read -r v <"$proc/$$/status" || miss rss_bytes "$proc/PID/status cannot be read"
  if read -r v <"$proc/$$/smaps_rollup"; then pss=1
  else pss=; miss pss_bytes "$proc/PID/smaps_rollup cannot be read"; fi
  if read -r v <"$proc/$$/fdinfo/1"; then dmabuf=1
  else dmabuf=; miss dmabuf_bytes "$proc/PID/fdinfo cannot be read"; fi
  if [ -r "$sys/class/kgsl/kgsl/proc" ] && [ -x "$sys/class/kgsl/kgsl/proc" ]; then gpu=kgsl
  elif command -v dumpsys >/dev/null; then
    case $(services gpu --gpumem) in
      *"Global total: "[0-9]*) gpu=dumpsys ;;
      *) miss gpu_bytes "neither kgsl nor dumpsys gpu tells it" ;;
    esac
  else miss gpu_bytes "neither kgsl nor dumpsys is there"; fi
  for f in "$sys"/{CPU_CLOCKS}; do
    [ $n -lt {CPU_LIMIT} ] && has "$f" || continue
    v=${{f%/scaling_cur_freq}}
    often="$often $f" fast="$fast,khz.cpu${{v##*policy}}" n=$((n + 1))
  done
  [ -n "$fast" ] || lack khz "clock of a CPU" "$sys"/{CPU_CLOCKS}
  n=$fast
  for f in {_CLOCKS}; do
    has "$f" || continue
    often="$often $f"
    case $f in {_IN_KHZ}) fast="$fast,gpu_khz" ;; *) fast="$fast,gpu_hz" ;; esac
    break
  done
  [ "$n" != "$fast" ] || lack gpu_khz "clock of a GPU" {_CLOCKS}
  n=$fast
  for f in "$sys"/{RAPL}; do
    case ${{f##*/intel-rapl:}} in *[!0-9]*) continue ;; esac
    v=; read -r v <"$f/name"
    case $v in psys) continue ;; esac
    has "$f/energy_uj" || continue
    often="$often $f/energy_uj" v=${{f##*/intel-rapl}}
    fast="$fast,rapl_uj.${{v#:}}"
    get "$f/max_energy_range_uj"
    [ -z "$v" ] || echo "# range.rapl_uj.${{f##*/intel-rapl:}} $v"
  done
  [ "$n" != "$fast" ] || lack rapl_uj "counter of energy" "$sys"/{RAPL}/energy_uj
  battery=
  for f in {_CURRENTS}; do
    f=${{f%/current_now}}
    has "$f/current_now" && has "$f/voltage_now" || continue
    battery=$f seldom="$seldom $f/current_now $f/voltage_now"
    slower="$slower,battery_ua,battery_uv,battery_discharging" gaps="$gaps,,,"
    break
  done
  [ -n "$battery" ] || lack battery "battery's current" {_CURRENTS}
  zones= n=0
  for f in "$sys"/{THERMAL_ZONES}; do
    [ $n -lt {ZONE_LIMIT} ] && has "$f/temp" || continue
    v=; read -r v <"$f/type"
    label "zone${{f##*thermal_zone}}"
    zones="$zones $f/temp" slower="$slower,millicelsius.$v" gaps="$gaps," n=$((n + 1))
  done
  sensors=
  [ -n "$zones" ] || ! command -v dumpsys >/dev/null || for f in $(heat); do
    [ $n -lt {ZONE_LIMIT} ] || break
    sensors="$sensors ${{f%=*}}" slower="$slower,celsius.${{f%=*}}" gaps="$gaps," n=$((n + 1))
  done
  [ -n "$zones$sensors" ] || lack celsius "thermal zone" "$sys"/{THERMAL_ZONES}/temp
}}
"""

LOOP = r"""
header() {
  row=time_s,hwm_kib,rss_kib,rss_anon_kib,rss_file_kib,rss_shmem_kib,swap_kib$fast
  gaps=$gaps,,
  [ -z "$gpu" ] || { slower=",gpu_bytes$slower" gaps="$gaps,"; }
  echo "$row,pss_kib,dmabuf_bytes$slower"
}
sample() {
  now; status
  row=$t,$hwm,$rss,$anon,$file,$shmem,$swap
  for f in $often; do get "$f"; row=$row,$v; done
  if [ $((turn % slow)) -ne 0 ] && [ -z "$1" ]; then echo "$row$gaps"; return; fi
  k=$((turn / slow))
  v=
  if [ -n "$pss" ] && { [ $k -le $service ] || [ $((k % service)) -eq 0 ]; }; then pss; fi
  row=$row,$v
  v=; [ -z "$dmabuf" ] || dmabuf; row=$row,$v
  if [ -n "$gpu" ]; then
    v=; [ $gpu = dumpsys ] && [ $((k % service)) -ne 0 ] || [ -n "$1" ] || gpu
    row=$row,$v
  fi
  for f in $seldom; do get "$f"; row=$row,$v; done
  if [ -n "$battery" ]; then
    v=; read -r v <"$battery/status"
    case $v in Discharging) v=1 ;; ''|Unknown) v= ;; *) v=0 ;; esac
    row=$row,$v
  fi
  for f in $zones; do get "$f"; row=$row,$v; done
  if [ -n "$sensors" ]; then
    told=
    [ $((k % service)) -ne 0 ] || [ -n "$1" ] || told=$(heat)
    for f in $sensors; do
      v=
      for key in $told; do [ "${key%=*}" != "$f" ] || { v=${key##*=}; break; }; done
      row=$row,$v
    done
  fi
  echo "$row"
}
sampler() {
  stop= late= turn=0
  trap 'stop=1' TERM
  trap '' HUP INT
  echo "# pid $pid"
  while [ -z "$stop" ]; do
    sample
    case $state in ''|[ZX]) break ;; esac
    if gone; then kill -9 $pid; echo "# ended with its shell"; exit 0; fi
    if [ -n "$limit" ] && [ -z "$late" ] && [ $((${t%%.*} - began)) -gt $limit ]; then
      late=1; kill -9 $pid; echo "# timed_out $limit"
    fi
    turn=$((turn + 1))
    [ -n "$stop" ] || { sleep $interval & wait $! || [ -n "$stop" ] || sleep 1; }
  done
  sample last
  [ -z "$late" ] || exit 124
  exit 0
}
quit() { kill -9 ${pid:-$!} $sampler; echo "# ended by signal $1" >>"$out"; exit $((128 + $1)); } \
  2>/dev/null
pid= sampler=
( : >"$out" ) 2>/dev/null || { echo "edgegen: cannot write $out" >&2; exit 125; }
{ probe; header; now; } >>"$out" 2>/dev/null
began=${t%%.*}
echo "# began $t" >>"$out"
trap 'quit 1' HUP
trap 'quit 2' INT
trap 'quit 15' TERM
start & pid=$!
sampler >>"$out" 2>/dev/null </dev/null & sampler=$!
{ wait $pid; } 2>/dev/null
code=$?
{ kill -TERM $sampler; wait $sampler; } 2>/dev/null
[ $? -ne 124 ] || code=124
echo "# ended $code" >>"$out"
exit $code
"""
