"""Export with litert-torch's own `export_hf`, in the virtual environment of `peer.py`.

    python benchmarks/export_hf.py CHECKPOINT FOLDER

Its experimental way that keeps weights out of memory (`use_v2`) needs a nightly TensorFlow.
"""

import sys

from litert_torch.generative.export_hf import export

checkpoint, folder = sys.argv[1:]
export.export(
    model=checkpoint,
    output_dir=folder,
    prefill_lengths=[128],
    cache_length=1280,
    quantization_recipe="dynamic_wi8_afp32",
    # Only the model: edgegen's side of the comparison makes no bundle either.
    bundle_litert_lm=False,
)
