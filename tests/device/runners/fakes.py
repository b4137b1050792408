"""Engines and apps for the double: shell scripts that print what real ones print."""

from __future__ import annotations

import shlex
from pathlib import Path

from tests.device.engine_logs import samples

HELP = """litert_lm_advanced_main: ...

  Flags from runtime/engine/litert_lm_advanced_main.cc:
    --backend (Executor backend to use for LLM execution (cpu, gpu, etc.));
      default: "cpu";
    --metric_proto_file_path (Path to the file where the metrics will be saved);
      default: "";
    --min_log_severity (Minimum log severity); default: -1;
    --model_path (Model path to use for LLM execution.); default: "";
  Flags from runtime/engine/shared_flags.cc:
    --[no]benchmark (Benchmark the LLM execution.); default: false;
    --benchmark_decode_tokens (...); default: 0;
    --benchmark_prefill_tokens (...); default: 0;
    --[no]force_f32 (Force float 32 precision); default: false;
    --max_num_tokens (Maximum number of tokens or context length); default: 0;
    --num_cpu_threads (...); default: 0;
    --[no]report_peak_memory_footprint (Report peak memory footprint.); default: false;
"""
OLD_HELP = "\n".join(
    line
    for line in HELP.splitlines()
    if not any(flag in line for flag in ("metric_proto", "min_log", "num_cpu", "force_f32"))
)
SIMPLE_HELP = """litert_lm_main: ...
    --backend (...); default: "gpu";
    --input_prompt (...); default: "";
    --model_path (...); default: "";
"""
GOOD_LOG = samples.CURRENT.replace("Processed 88", "Processed 8")


def engine_folder(
    folder: Path, body: str, *, help_text: str = HELP, name: str = "litert_lm_advanced_main"
) -> Path:
    """Write an engine that runs `body` and a library beside it; return their folder."""
    folder.mkdir()
    (folder / "libFake.so").write_bytes(b"a library")
    script = (
        "#!/bin/sh\n"
        f'[ "$1" = --helpfull ] && {{ printf %s {shlex.quote(help_text)}; exit 1; }}\n'
        # absl's flags become variables.
        'for flag; do case $flag in --*=*) flag=${flag#--}; eval "${flag%%=*}=\\${flag#*=}";; '
        "esac; done\n"
        f"{body}\n"
    )
    (folder / name).write_text(script)
    return folder


def says(log: str) -> str:
    """Return a script that writes a log to stderr, as the engine does."""
    return f"printf %s {shlex.quote(log)} >&2"
