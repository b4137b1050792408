"""LiteRT-LM's native program on a device: `litert_lm_advanced_main`, or the older
`litert_lm_main`, which the user supplies with its libraries.

What a release of it can do is asked of the program itself (`--helpfull`), and what it measured is
read from its metrics file where it writes one, else from its log.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from pathlib import Path

from edgegen.bundle.contents import Bundle
from edgegen.bundle.dimensions import read_dimensions
from edgegen.device.bench.causes import failure_of
from edgegen.device.bench.record import EngineFacts, Failure
from edgegen.device.engine_logs import EngineLog, joined, parse_log, parse_metrics_proto
from edgegen.device.engine_logs.gpu import why_not_on_gpu
from edgegen.device.runners.device_files import check_machine, file_sha256, folder_digest
from edgegen.device.runners.device_log import lines_of, messages_of
from edgegen.device.runners.interface import Runner, RunOutcome, RunRequest
from edgegen.device.runners.on_device import OnDevice
from edgegen.device.runners.options import RunnerOptions
from edgegen.device.runners.outcomes import (
    Ran,
    checked_counts,
    known_or,
    lost,
    not_on_gpu,
    signatures_of,
    unsupported,
    untold_counts,
)
from edgegen.device.transports.interface import Transport
from edgegen.errors import DeviceError, EdgegenError

# The first of these that `--engine-dir` holds is run.
PROGRAMS = (
    "litert_lm_advanced_main",
    "litert_lm_main",
    "litert_lm_advanced_main.android_arm64",
    "litert_lm_main.android_arm64",
)
_PROTO = "metrics.pb"
_HELP_S = 60.0
_FLAG = re.compile(r"^\s*--(?:\[no\])?([a-z][a-z0-9_]{0,60})\b", re.MULTILINE)
_COUNTS = ("benchmark", "benchmark_prefill_tokens", "benchmark_decode_tokens")
_HOW = "docs/how-to/bench-on-a-phone.md says where Google publishes it"


def open(transport: Transport, options: RunnerOptions) -> Runner:
    """Return the runner for a device."""
    return LiteRtLmRunner(transport, options)


class LiteRtLmRunner(OnDevice):
    """Runs the native program, each time in a process of its own."""

    def __init__(self, transport: Transport, options: RunnerOptions) -> None:
        super().__init__(transport, options)
        self._hashes: dict[str, str] = {}
        self._program = ""
        self._engine_folder = ""
        self._known: frozenset[str] = frozenset()

    def prepare(self, bundle: Bundle) -> None:
        """Push engine and bundle.

        Raises:
            DeviceError: there is no engine, it is for another processor, or the device cannot
                start it.
        """
        if not self._known:
            self._prepare_engine()
        self.push_bundle(bundle)

    def engine(self) -> EngineFacts:
        """Return the engine's files; it does not tell its version."""
        return EngineFacts(
            runner="litert-lm", name=self._program or PROGRAMS[0], files_sha256=self._hashes
        )

    def run(self, request: RunRequest) -> RunOutcome:
        """Run the engine once; see `Runner.run`."""
        refused = self._refused(request)
        if refused is not None:
            return refused
        try:
            link = self.link(request)
        except DeviceError as error:
            return RunOutcome(0.0, None, lost(error))
        flags = self._flags(request, link)
        folder = f'"$PWD"/../engines/{posixpath.basename(self._engine_folder)}'
        # Words of `env`, since some shells take no assignment before `exec`.
        words = ["exec env", f"LD_LIBRARY_PATH={folder}"]
        if request.cpu_mask is not None:
            words += ["taskset", f"{request.cpu_mask:x}"]
        words += [f"{folder}/{self._program}", *map(shlex.quote, flags)]
        # One pipe for both, so that lines keep their order.
        ran = self.execute(f"{' '.join(words)} 2>&1", request, fetch=[_PROTO])
        pinned = (f"taskset {request.cpu_mask:x}",) if request.cpu_mask is not None else ()
        return self._judged(ran, request, (*pinned, self._program, *flags))

    def _judged(self, ran: Ran, request: RunRequest, flags: tuple[str, ...]) -> RunOutcome:
        told = parse_log(ran.log)
        if (written := ran.files.get(_PROTO)) is not None:
            told = joined(parse_metrics_proto(written), told)
        metrics, failure = told.metrics, ran.failure
        if failure is None and ran.exit_code != 0:
            failure = failure_of(
                ran.log,
                exit_code=ran.exit_code,
                delegate=request.delegate,
                logcat=lines_of(self.logcat(), ran.pid, self._program),
                tombstone=self.tombstone(),
                pid=ran.pid,
            )
        if failure is None and request.delegate == "gpu":
            failure, told = self._proven_on_gpu(ran, told, signatures_of(request.bundle))
        if failure is None and metrics is None:
            failure = failure_of(ran.log, exit_code=0, delegate=request.delegate)
        elif failure is None and metrics is not None:
            # Releases of 2025 tell rates alone.
            metrics, failure = checked_counts(metrics, request, counts_told=False)
            if failure is not None and failure.kind == "no_result":
                failure = known_or(failure, ran.log, request.delegate)
        return self.outcome(
            ran,
            metrics,
            failure,
            flags=flags,
            memory=told.memory,
            delegations=told.delegations,
            gpu_adapter=told.gpu.adapter if request.delegate == "gpu" else None,
            missing={} if failure else untold_counts(metrics, request),
        )

    def _proven_on_gpu(
        self, ran: Ran, told: EngineLog, signatures: int | None
    ) -> tuple[Failure | None, EngineLog]:
        """Return why the GPU did not compute, if it did not, and what showed it."""
        why = why_not_on_gpu(told.gpu, told.delegations, signatures)
        if why is None:
            return None, told
        # On phones some of it goes to Android's log alone.
        words = f"{ran.log}\n{messages_of(self.logcat(), ran.pid)}"
        both = parse_log(words)
        shown = EngineLog(
            told.metrics, told.memory, told.peak_private_bytes, both.delegations, both.gpu
        )
        why = why_not_on_gpu(both.gpu, both.delegations, signatures)
        if why is None:
            return None, shown
        return not_on_gpu(why, words), shown

    def _refused(self, request: RunRequest) -> RunOutcome | None:
        """Return the outcome of what this program cannot do."""
        if not self._known:
            raise DeviceError("the engine is not on the device yet", "call prepare first")
        if lacking := [flag for flag in _COUNTS if flag not in self._known]:
            return unsupported(
                f"{self._program} has no flag --{lacking[0]}: it runs a prompt of text, and no "
                "number of tokens",
                f"take litert_lm_advanced_main; {_HOW}",
            )
        if request.workload.depth:
            return unsupported(
                f"{self._program} cannot measure behind a context ({request.workload.name})",
                "leave @d away, or measure it with the runner of boards or the app",
            )
        if request.threads is not None and "num_cpu_threads" not in self._known:
            return unsupported(
                f"{self._program} has no flag --num_cpu_threads",
                "leave --threads away, or take a newer release",
            )
        if request.activations == "f32" and "force_f32" not in self._known:
            return unsupported(
                f"{self._program} has no flag --force_f32",
                "leave --activations away, or take a newer release",
            )
        if request.activations == "f16" and request.delegate == "cpu":
            return unsupported(
                f"{self._program} cannot be told to compute in float16 on the CPU",
                "leave --activations away",
            )
        return None

    def _flags(self, request: RunRequest, link: str) -> tuple[str, ...]:
        asked = request.workload
        flags = [
            f"--model_path={link}",
            f"--backend={request.delegate}",
            "--benchmark",
            # 0 would mean the length of a text, and an answer up to its stop token.
            f"--benchmark_prefill_tokens={asked.prefill_tokens or 1}",
            f"--benchmark_decode_tokens={asked.decode_tokens or 1}",
        ]
        known = {
            "metric_proto_file_path": _PROTO,
            "report_peak_memory_footprint": "true",
            # The lines that tell what a delegate took are written at this level only.
            "min_log_severity": "0",
            # Left to itself it takes the sum of both counts, which need not suit the bundle.
            "max_num_tokens": _kv_cache_len(request.bundle),
            "num_cpu_threads": request.threads,
            "force_f32": "true" if request.activations == "f32" else None,
        }
        flags += [
            f"--{name}={value}"
            for name, value in known.items()
            if value is not None and name in self._known
        ]
        return tuple(flags)

    def _prepare_engine(self) -> None:
        program, files = _engine_files(self.options.engine_dir)
        from edgegen.device.description import describe_device

        check_machine(program, describe_device(self.transport, self.folder).abis)
        self._hashes = {path.name: file_sha256(path) for path in files}
        self._program = program.name
        self._engine_folder = f"{self.folder}/engines/{folder_digest(self._hashes.items())}"
        self.push_files(files, self._engine_folder, mode=0o755)
        path = shlex.quote(f"{self._engine_folder}/{self._program}")
        said = self.transport.shell(
            f"LD_LIBRARY_PATH={shlex.quote(self._engine_folder)} {path} --helpfull 2>&1",
            timeout_s=_HELP_S,
        )
        text = said.text.replace("\r\n", "\n")
        known = frozenset(_FLAG.findall(text))
        if "model_path" not in known:  # absl ends its help with 1, so the status tells nothing
            failure = failure_of(text, exit_code=said.exit_code or 1, delegate="cpu")
            raise DeviceError(
                f"{self._program} does not start on {self.transport.serial}: {failure.message}",
                failure.hint or _HOW,
            )
        self._known = known


def _engine_files(folder: Path | None) -> tuple[Path, list[Path]]:
    """Return the program of a folder, and all files to push.

    Raises:
        DeviceError: there is none.
    """
    if folder is None:
        raise DeviceError(
            "no engine was named for the device",
            f"pass --engine-dir FOLDER with litert_lm_advanced_main and its .so files; {_HOW}",
        )
    found = [folder / name for name in PROGRAMS if (folder / name).is_file()]
    if not found:
        raise DeviceError(
            f"{folder} holds no {' or '.join(PROGRAMS[:2])}",
            f"name the folder with the engine's program and its .so files; {_HOW}",
        )
    return found[0], [found[0], *sorted(p for p in folder.glob("*.so") if p.is_file())]


def _kv_cache_len(bundle: Bundle) -> int | None:
    try:
        return read_dimensions(bundle).kv_cache_len
    except EdgegenError:  # the engine says more about such a bundle
        return None
