"""Logs of LiteRT-LM as its releases write them."""

from __future__ import annotations

DASHES = "-" * 50

# v0.10.2; it counts 7 phases and shows 6.
CURRENT = f"""I0000 00:00:1776763095.992481   21214 litert_lm_lib.cc:512] BenchmarkInfo:
  Init Phases (7):
    - Init Conversation: 0.09 ms
    - Init Executor: 577.30 ms
    - Init LLM metadata: 0.15 ms
    - Init Model assets: 0.49 ms
    - Init Tokenizer: 101.68 ms
    - Init Total: 580.10 ms
{DASHES}
  Time to first token: 0.92 s
{DASHES}
  Prefill Turns (Total 1 turns):
    Prefill Turn 1: Processed 16 tokens in 819.9514ms duration.
      Prefill Speed: 19.51 tokens/sec.
{DASHES}
  Decode Turns (Total 1 turns):
    Decode Turn 1: Processed 88 tokens in 8.7038005s duration.
      Decode Speed: 10.11 tokens/sec.
{DASHES}
  TextToTokenIds Turns (Total 2 turns):
    Turn 1: 11.2us, 1 tokens
    Turn 2: 46.1us, 15 tokens
{DASHES}
{DASHES}
"""

# A run that computed nothing (issue LiteRT-LM#1396).
NOTHING = f"""BenchmarkInfo:
  Init Phases (6):
    - Conversation initialization: 0.10 ms
    - Executor initialization: 1899.02 ms
    Total init time: 1922.03 ms
{DASHES}
  Time to first token: 0.00 s
{DASHES}
  Prefill Turns (Total 0 turns):
    No prefill turns recorded.
{DASHES}
  Decode Turns (Total 0 turns):
    No decode turns recorded.
{DASHES}
"""

# About v0.8.
OLDER = f"""BenchmarkInfo:
  Init Phases (2):
    - Executor initialization: 844.54 ms
    - Tokenizer initialization: 66.71 ms
    Total init time: 911.25 ms
{DASHES}
  Time to first token: 0.31 s
{DASHES}
  Prefill Turns (Total 1 turns):
    Prefill Turn 1: Processed 1024 tokens in 7.044162s duration.
      Prefill Speed: 145.37 tokens/sec.
{DASHES}
  Decode Turns (Total 1 turns):
    Decode Turn 1: Processed 256 tokens in 23.268829s duration.
      Decode Speed: 11.00 tokens/sec.
{DASHES}
"""

# Of mid-2025, without counts.
OLDEST = f"""BenchmarkInfo:
  Init Phases (2):
    - Load Model: 1000.50 ms
    - Load Tokenizer: 50.25 ms
    Total init time: 1050.75 ms
{DASHES}
  Prefill Turns (Total: 2):
    Prefill Turn 1:
      Prefill Speed: 500.00 tokens/sec.
    Prefill Turn 2:
      Prefill Speed: 2000.00 tokens/sec.
{DASHES}
  Decode Turns (Total: 1):
    Decode Turn 1:
      Decode Speed: 200.00 tokens/sec.
{DASHES}
"""

ITERATIONS = (
    CURRENT
    + OLDER
    + f"""Aggregated BenchmarkInfo (median of 3 iterations):
    - Init Total: 581.00 ms
  Time to first token: 0.93 s
    Prefill Turn 1: Processed 16 tokens in 800ms duration.
      Prefill Speed: 20.00 tokens/sec.
    Decode Turn 1: Processed 88 tokens in 8s duration.
      Decode Speed: 11.00 tokens/sec.
  Peak system ram usage: 3382.50MB.
  Peak private footprint: 5651.08MB.
{DASHES}
"""
)

FLAT = """Benchmark flags: benchmark_prefill_tokens=128,benchmark_decode_tokens=64,backend=cpu
Init Executor: 577.30 ms
Init Total: 580.10 ms
Time to first token: 0.92 s
Prefill speed turn 1: 19.51 tk/s
Decode speed turn 1: 10.11 tk/s
Peak system ram usage: 1000.50 MB
Peak private footprint: 1200.25 MB
Physical footprint: 900.00 MB
Total non-mmapped heap size: 800.00 MB
In-use heap size: 700.00 MB
Private footprint: 1100.00 MB
"""

CLI = """----- Results -----
Prefill speed:        220.50 tokens/s
Decode speed:         0.69 tokens/s
Init time:            7.6006 s
Time to first token:  2.0292 s
"""

MEMORY = """Peak system ram usage: 3382MB.
Memory usage: max resident set size/physical footprint = 3300.25 MB
Peak private footprint: 5651.08MB.
Peak DMA-BUF hardware usage: 512.25 MB (12 unique buffers)
  - system                      : 500.00 MB (Inode 4711)
  - qcom,system                 :  12.25 MB (Inode 4712)
"""

GPU = """INFO: [environment.cc:36] Creating LiteRT environment with options
INFO: [auto_registration.cc:237] Loading GPU accelerator(libLiteRtOpenClAccelerator.so).
INFO: [accelerator_registry.cc:52] RegisterAccelerator: ptr=0xb400, name=GPU OpenCL
INFO: [auto_registration.cc:248] Dynamically loaded GPU accelerator(libLiteRtOpenClAccelerator.so) \
registered.
INFO: [accelerator_registry.cc:52] RegisterAccelerator: ptr=0xb401, name=CpuAccelerator
INFO: Loaded OpenCL library with dlopen.
INFO: [gpu_environment.h:155] Created OpenCL device from provided device id and platform id.
VERBOSE: Replacing 2068 out of 2068 node(s) with delegate (LITERT_CL) node, yielding 1 partitions \
for subgraph 0 (decode).
I0000 00:00:1776763095.992608   21214 delegate_kernel.cc:794] Initializing OpenCL-based API from \
serialized data.
VERBOSE: Replacing 1107 out of 1107 node(s) with delegate (LITERT_CL) node, yielding 1 partitions \
for subgraph 1 (prefill_1024).
I0000 00:00:1776763095.992608   21214 delegate_kernel.cc:794] Initializing OpenCL-based API from \
serialized data.
"""

# Without names of the signatures.
GPU_UNNAMED = """INFO: Loaded OpenCL library with dlopen.
VERBOSE: Replacing 796 out of 796 node(s) with delegate (LITERT_CL) node, yielding 1 partitions \
for subgraph 0.
VERBOSE: Replacing 782 out of 782 node(s) with delegate (LITERT_CL) node, yielding 1 partitions \
for subgraph 1.
"""

# From a release that counts no nodes.
GPU_QUIET = """I/tflite: Loaded OpenCL library with dlopen.
I/litert: Created LiteRT GpuEnvironment.
I/native: Initializing OpenCL-based API from serialized data.
I/native: Initializing OpenCL-based API from serialized data.
"""

# Asked for the GPU, on an emulator (issue LiteRT-LM#1448): it computes, on the CPU.
GPU_REFUSED = """\
INFO: [auto_registration.cc:237] Loading GPU accelerator(libLiteRtGpuAccelerator.so).
INFO: [auto_registration.cc:237] Loading GPU accelerator(libLiteRtOpenClAccelerator.so).
WARNING: [auto_registration.cc:266] GPU accelerator could not be loaded and registered.
INFO: [accelerator_registry.cc:52] RegisterAccelerator: ptr=0xb400, name=CpuAccelerator
INFO: [auto_registration.cc:275] CPU accelerator registered.
VERBOSE: Replacing 93 out of 93 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 1 \
partitions for subgraph 0 (decode).
"""

GPU_PARTIAL = """INFO: [accelerator_registry.cc:52] RegisterAccelerator: ptr=0x1, name=GPU OpenCL
ERROR: Following operations are not supported by GPU delegate:
CAST: Not supported Cast case.
GATHER_ND: Operation is not supported.
28 operations will run on the GPU, and the remaining 116 operations will run on the CPU.
VERBOSE: Replacing 48 out of 90 node(s) with delegate (LITERT_CL) node, yielding 2 partitions for \
subgraph 0 (decode).
VERBOSE: Replacing 32 out of 43 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding 4 \
partitions for subgraph 0 (decode).
VERBOSE: Replacing 90 out of 90 node(s) with delegate (LITERT_CL) node, yielding 1 partitions for \
subgraph 1 (prefill_128).
"""

# 0.18.1 with a GPU in software, which takes all graphs.
SWIFTSHADER = """\
INFO: [accelerator_registry.cc:54] RegisterAccelerator: ptr=0x1, name=GPU WebGPU
INFO: [gpu_registry.cc:113] Statically linked GPU accelerator registered.
INFO: [accelerator_registry.cc:54] RegisterAccelerator: ptr=0x1, name=CpuAccelerator
INFO: [cpu_registry.cc:75] XNNPACK CPU accelerator registered.
I0000 00:00:1795469035.224403    3505 environment.cc:532] Selected adapter: SwiftShader Device \
(Subzero), arch=swiftshader, vendor=google, backend=Vulkan, adapterType=CPU / Software
INFO: Failed to load OpenCL library with dlopen: libOpenCL.so: cannot open shared object file: \
No such file or directory. Trying ICD loader.
VERBOSE: Replacing 228 out of 228 node(s) with delegate (LITERT_WEBGPU) node, yielding 1 \
partitions for subgraph 0 (prefill_128).
I0000 00:00:1795469036.943268    3505 delegate_kernel.cc:984] Initializing WebGPU-based API \
from graph.
VERBOSE: Replacing 228 out of 228 node(s) with delegate (LITERT_WEBGPU) node, yielding 1 \
partitions for subgraph 1 (prefill_32).
I0000 00:00:1795469037.062421    3505 delegate_kernel.cc:984] Initializing WebGPU-based API \
from graph.
VERBOSE: Replacing 228 out of 228 node(s) with delegate (LITERT_WEBGPU) node, yielding 1 \
partitions for subgraph 2 (prefill_16).
I0000 00:00:1795469037.227280    3505 delegate_kernel.cc:984] Initializing WebGPU-based API \
from graph.
VERBOSE: Replacing 249 out of 249 node(s) with delegate (LITERT_WEBGPU) node, yielding 1 \
partitions for subgraph 3 (decode).
I0000 00:00:1795469038.477094    3505 delegate_kernel.cc:984] Initializing WebGPU-based API \
from graph.
W0000 00:00:1795469053.023480    3577 sampler_factory.cc:492] WebGPU sampler not available, \
falling back to statically linked C API.
I0000 00:00:1795469057.776664    3577 llm_litert_compiled_model_executor.cc:1622] Sampler will \
handle decode input tensors.
"""

# The same bundle on the CPU.
ON_CPU = """\
VERBOSE: Replacing 210 out of 228 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding \
9 partitions for subgraph 0 (prefill_128).
VERBOSE: Replacing 210 out of 228 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding \
9 partitions for subgraph 1 (prefill_32).
VERBOSE: Replacing 210 out of 228 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding \
9 partitions for subgraph 2 (prefill_16).
VERBOSE: Replacing 232 out of 249 node(s) with delegate (TfLiteXNNPackDelegate) node, yielding \
10 partitions for subgraph 3 (decode).
"""
