"""LiteRT-LM's word on the bundle: what each delegate takes, and whether it says the right thing."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edgegen.bundle.chat.runtime import check_runtime_template
from edgegen.bundle.doctor.children import run_child
from edgegen.bundle.doctor.findings import Remark, Verdict, failed, passed, skipped, warned
from edgegen.bundle.doctor.operators import REFUSALS, told_places
from edgegen.bundle.doctor.reference import (
    CPU_TIE,
    GENERATED,
    GPU_TIE,
    compared,
    greedy_reference,
    why_not,
)
from edgegen.bundle.doctor.stored import gpu_faults
from edgegen.bundle.doctor.subject import Subject
from edgegen.bundle.doctor.vulkan import CHROMIUM, software_vulkan
from edgegen.bundle.engine import generate_message
from edgegen.bundle.engine_gpu import on_gpu
from edgegen.bundle.engine_log import delegations, explain, gpu_adapter
from edgegen.bundle.engine_types import Delegate, Delegation, GenerateRequest
from edgegen.bundle.tokenizers.mapped import mapped, mapped_back
from edgegen.contract import DECODE, prefill_length
from edgegen.errors import EngineError

# On a busy machine about one generation in ten comes out wrong in software; a graph that is
# wrong is so each time.
_GPU_TRIES = 3
_CHILD = "edgegen.bundle.engine_child"

_REFUSED = re.compile(
    r"Following operations are not supported by GPU delegate:\n(.*?)\n[^\n]*operations will run"
    r".*?for subgraph \d+ \(([^)]*)\)",
    re.DOTALL,
)


@dataclass(frozen=True)
class EngineRun:
    """One generation, however it ended.

    Attributes:
        text: What came.
        error: Why not more came; `None` if it ended well.
        log: The engine's.
        delegations: What each delegate took.
    """

    text: str
    error: EngineError | None
    log: str
    delegations: tuple[Delegation, ...]


def generate(
    subject: Subject,
    prompt: str,
    delegate: Delegate,
    environment: Mapping[str, str] | None = None,
) -> EngineRun:
    """Continue a prompt greedily in a fresh process of LiteRT-LM.

    Where the bundle is for MediaPipe's mapping of bytes, which LiteRT-LM does not make, that is
    made here, so that the model sees the tokens that it is to see.
    """
    limits = subject.settings.limits
    request = GenerateRequest(
        mapped(prompt) if subject.maps_bytes else prompt,
        max_output_tokens=GENERATED,
        delegate=delegate,
        apply_prompt_template=False,
        activations="f32" if delegate == "gpu" else None,
    )
    message = generate_message(subject.bundle, request)
    ended = run_child(_CHILD, message, limits, environment)
    error = None
    if ended.out_of_time:
        error = EngineError(
            f"the engine was not done after {limits.timeout_s:g} s and was ended",
            "allow more --timeout",
        )
    elif ended.last("done") is None or ended.returncode != 0:
        error = explain(ended.log, ended.last("error"), ended.returncode, delegate)
    text = "".join(answer.get("piece", "") for answer in ended.answers)
    if subject.maps_bytes:
        text = mapped_back(text).decode(errors="replace")
    return EngineRun(text, error, ended.log, delegations(ended.log))


def cpu(subject: Subject) -> Iterator[Remark]:
    """LiteRT-LM opens it on the CPU, hands most of it to XNNPACK, and says what the model says."""
    reason = _why_no_engine() or why_not(subject)
    if reason is not None:
        yield skipped(reason)
        return
    if subject.backends and "cpu" not in subject.backends:
        yield skipped(f"the bundle says that it runs on {', '.join(subject.backends)} only")
        return
    reference = greedy_reference(subject, CPU_TIE)
    run = generate(subject, reference.prompt, "cpu")
    if run.error is not None:
        yield failed(run.error.message, run.error.hint)
        return
    yield passed(f"XNNPACK takes {_shares(run.delegations, 'XNNPack')}")
    yield compared(subject, run.text, "LiteRT-LM on cpu", CPU_TIE)
    if subject.maps_bytes:
        yield warned(
            "the tokenizer is for MediaPipe's engine, which METADATA has map bytes: LiteRT-LM does "
            "not, was given mapped text here, and reads other tokens in any app",
            "for LiteRT-LM build it with --engine litert-lm",
        )


def runtime_template(subject: Subject) -> Iterator[Remark]:
    """LiteRT-LM's own template engine renders the bundle's template as transformers does."""
    bundle, parameters = subject.bundle, subject.bundle.parameters
    reason = _why_no_engine()
    if bundle.format != "litertlm" or parameters.chat_template is None:
        reason = "only a .litertlm with a chat template has one that LiteRT-LM renders"
    carried = _carried_template(subject) if reason is None else ""
    if reason is None and not carried:
        reason = "the bundle keeps its chat template for edgegen and the app; LiteRT-LM has none"
    if reason is not None:
        yield skipped(reason)
        return
    timeout_s = subject.settings.limits.timeout_s
    fit = check_runtime_template(parameters, subject.path, template=carried, timeout_s=timeout_s)
    told = f"{fit.exact} of {fit.conversations} conversations come out as transformers renders them"
    if fit.same:
        yield passed(told)
    elif fit.exact:
        yield warned(f"{told}; {fit.difference}", "see that none of these matters to the app")
    else:
        yield failed(
            f"{told}; {fit.difference}", "write it anew with edgegen, which adapts the template"
        )


def _carried_template(subject: Subject) -> str:
    """Return the template in LiteRT-LM's dialect that the bundle carries."""
    from litert_lm_builder.runtime.proto import llm_metadata_pb2

    message = llm_metadata_pb2.LlmMetadata()
    foreign = subject.bundle.foreign
    message.ParseFromString(b"" if foreign is None else foreign.metadata)
    return str(message.jinja_prompt_template)


def gpu(subject: Subject) -> Iterator[Remark]:
    """LiteRT-LM's GPU delegate takes every operator, and says what the model says."""
    reason = _why_no_engine() or why_not(subject)
    if reason is not None:
        yield skipped(reason)
        return
    if subject.excludes_gpu:
        yield skipped(f"the bundle says that it runs on {', '.join(subject.backends)} only")
        return
    environment = software_vulkan()
    reference = greedy_reference(subject, GPU_TIE)
    verdict = None
    for _ in range(_GPU_TRIES):
        run = generate(subject, reference.prompt, "gpu", environment)
        if run.error is not None or not _all_taken(run.delegations):
            yield from _refusals(subject, run, environment is not None)
            return
        verdict = compared(subject, run.text, "LiteRT-LM on gpu", GPU_TIE)
        if verdict.verdict != "fail":
            break
    adapter = gpu_adapter(run.log) or "an unnamed GPU"
    yield passed(f"it takes {_shares(run.delegations, 'GPU')} on {adapter.partition(',')[0]}")
    assert verdict is not None
    yield verdict


def _why_no_engine() -> str | None:
    if importlib.util.find_spec("litert_lm") is None:
        return "LiteRT-LM is not installed: pip install litert-lm-api"
    return None


def _refusals(subject: Subject, run: EngineRun, has_vulkan: bool) -> Iterator[Remark]:
    """Say what the delegate refused, and in which layers."""
    if run.error is not None and "finds no GPU" in run.error.message:
        where = f"{CHROMIUM} has none" if not has_vulkan else run.error.message
        yield skipped(
            f"there is no Vulkan to ask the GPU delegate on: {where}",
            "on Debian: apt-get install chromium, which brings one in software",
        )
        return
    told = False
    for block, signature in _REFUSED.findall(run.log):
        for line in block.splitlines():
            name = line.partition(":")[0]
            graph = subject.graphs.get(signature)
            places = told_places(graph, name) if graph is not None else ""
            hint = REFUSALS.get(name, ((), "convert the checkpoint with edgegen"))[1]
            told = True
            yield failed(
                f"{signature}: the delegate refuses {line}" + (f" ({places})" if places else ""),
                hint,
            )
    if told:
        return
    # What the stored types alone explain is no surprise to who meant the bundle for a CPU.
    faults = [fault for graph in subject.graphs.values() for fault in gpu_faults(graph)]
    known: Verdict = "warn" if faults and not subject.promises_gpu else "fail"
    if run.error is not None:
        yield Remark(known, run.error.message, run.error.hint)
        return
    lines = (
        f"{d.signature}: {d.delegate} {d.nodes_delegated} of {d.nodes_total}"
        for d in run.delegations
    )
    yield Remark(known, f"the GPU does not take it whole: {'; '.join(lines) or 'nothing'}")


def _all_taken(found: tuple[Delegation, ...]) -> bool:
    gpu_taken = {d.signature for d in found if on_gpu(d)}
    return DECODE in gpu_taken and any(prefill_length(name) for name in gpu_taken)


def _shares(found: tuple[Delegation, ...], delegate: str) -> str:
    """Say how many of each signature's nodes a delegate took; nested graphs have no signature."""
    shares = {
        d.signature: f"{d.nodes_delegated}/{d.nodes_total} nodes of {d.signature} "
        f"({d.nodes_delegated / max(1, d.nodes_total):.0%})"
        for d in found
        if delegate.upper() in d.delegate.upper()
        and (d.signature == DECODE or prefill_length(d.signature))
    }
    return ", ".join(shares.values()) or "nothing"
