"""The doctor: everything about a bundle that can be known without a phone.

    health = check_bundle("model.task")
    print(health.verdict, health.failed)

Each check is a function of the `Subject` under examination and a row of `checks.CHECKS`. One file
holds a family of them: `container` the file, `words` tokens and templates, `contract` the model's
entry points, `operators` its operators, `stored` its weights, `fit` its tokenizer, `litert_lm` and
`web` the engines, whose reference is the model by itself (`reference`). Checks that run the model
do so in processes under limits (`children`, `chromium`).
"""

from __future__ import annotations

from edgegen.bundle.doctor.checks import CHECKS, check_bundle
from edgegen.bundle.doctor.findings import BundleHealth, Finding
from edgegen.bundle.doctor.subject import Limits, Settings

__all__ = ["CHECKS", "BundleHealth", "Finding", "Limits", "Settings", "check_bundle"]
