"""Linux boards: LiteRT-LM's Python package there, in a process per run, measuring as the host does.

The files that measure are those of the host's own engine process, copied to the board; they need
nothing but `litert_lm`.
"""

from __future__ import annotations

import json
import posixpath
import shlex
import signal
from pathlib import Path
from typing import Any

from edgegen.bundle import engine_measure
from edgegen.bundle.contents import Bundle
from edgegen.bundle.dimensions import read_dimensions
from edgegen.device.bench.causes import failure_of
from edgegen.device.bench.record import EngineFacts, Metrics
from edgegen.device.engine_logs.gpu import parse_delegations, parse_gpu_evidence, why_not_on_gpu
from edgegen.device.runners import board_child
from edgegen.device.runners.device_files import file_sha256, folder_digest
from edgegen.device.runners.interface import Runner, RunOutcome, RunRequest
from edgegen.device.runners.on_device import OnDevice
from edgegen.device.runners.oom import killed, oom_kills_of
from edgegen.device.runners.options import RunnerOptions
from edgegen.device.runners.outcomes import Ran, checked_counts, lost, not_on_gpu, signatures_of
from edgegen.device.transports.failures import CancelledError
from edgegen.device.transports.interface import Transport
from edgegen.errors import DeviceError

_REQUEST, _RESULT = "request.json", "result.json"
_PROBE_S = 60.0
_KILLED = 128 + signal.SIGKILL
_PACKAGE = "litert-lm-api"
_PROBE = """
import hashlib, importlib.metadata, importlib.util, json, pathlib, sys
found = {"python": sys.version.split()[0], "version": None, "files": {}}
spec = importlib.util.find_spec("litert_lm")
if spec is not None:
    for name in ("litert-lm-api", "litert-lm"):
        try:
            found["version"] = importlib.metadata.version(name)
            break
        except importlib.metadata.PackageNotFoundError:
            found["version"] = ""
    for folder in spec.submodule_search_locations or ():
        for path in sorted(pathlib.Path(folder).glob("*.so*")):
            digest = hashlib.sha256()
            with path.open("rb") as file:
                for block in iter(lambda: file.read(1 << 20), b""):
                    digest.update(block)
            found["files"][path.name] = digest.hexdigest()
print(json.dumps(found))
"""


def open(transport: Transport, options: RunnerOptions) -> Runner:
    """Return the runner for a board."""
    return BoardRunner(transport, options)


class BoardRunner(OnDevice):
    """Runs LiteRT-LM's Python package on a board."""

    def __init__(self, transport: Transport, options: RunnerOptions) -> None:
        super().__init__(transport, options)
        self._python = options.python or "python3"
        self._child_folder = ""
        self._engine: EngineFacts | None = None

    def prepare(self, bundle: Bundle) -> None:
        """Look for Python and the package, and push what measures, and the bundle.

        Raises:
            DeviceError: one of them is missing.
        """
        if self._engine is None:
            self._engine = self._probe()
            self._push_child()
        self.push_bundle(bundle)

    def engine(self) -> EngineFacts:
        """Return the package's version and the hash of its library."""
        return self._engine or EngineFacts(runner="board", name="litert-lm (Python)")

    def run(self, request: RunRequest) -> RunOutcome:
        """Run the engine once; see `Runner.run`."""
        if self._engine is None:
            raise DeviceError("the engine is not on the device yet", "call prepare first")
        try:
            link = self.link(request)
            message = _message(request, link)
            self.write(f"{self.work}/{_REQUEST}", json.dumps(message).encode())
            kills = oom_kills_of(self.transport)
        except CancelledError:
            raise
        except DeviceError as error:
            return RunOutcome(0.0, None, lost(error))
        pinned = [] if request.cpu_mask is None else ["taskset", f"{request.cpu_mask:x}"]
        folder = f"../engines/{posixpath.basename(self._child_folder)}"
        words = [*pinned, self._python, f"{folder}/board_child.py", _REQUEST, _RESULT]
        command = f"exec env PYTHONPATH={folder} {shlex.join(words)} 2>&1"
        ran = self.execute(command, request, fetch=[_RESULT])
        told = {**message, "way": engine_measure.measuring_way(message)}
        flags = tuple(f"{name}={value}" for name, value in told.items() if value is not None)
        return self._judged(ran, request, flags, kills)

    def _judged(
        self, ran: Ran, request: RunRequest, flags: tuple[str, ...], kills: int | None
    ) -> RunOutcome:
        done, error = _answer(ran.files.get(_RESULT))
        log = ran.log if error is None else f"{ran.log}\n{error}"
        taken, shown = parse_delegations(ran.log), parse_gpu_evidence(ran.log)
        metrics, failure = None, ran.failure
        if failure is None and (ran.exit_code != 0 or error is not None):
            code = ran.exit_code or 1
            failure = failure_of(log, exit_code=code, delegate=request.delegate)
            if failure.kind == "crashed" and code == _KILLED:
                failure = killed(failure, kills, oom_kills_of(self.transport))
        if failure is None and done is None:
            failure = failure_of(log, exit_code=0, delegate=request.delegate)
        if failure is None and request.delegate == "gpu":
            why = why_not_on_gpu(shown, taken, signatures_of(request.bundle))
            if why is not None:
                failure = not_on_gpu(why, ran.log)
        if failure is None and done is not None:
            metrics, failure = checked_counts(done, request)
        return self.outcome(
            ran,
            metrics,
            failure,
            flags=flags,
            delegations=taken,
            gpu_adapter=shown.adapter if request.delegate == "gpu" else None,
        )

    def _probe(self) -> EngineFacts:
        said = self.transport.shell((self._python, "-c", _PROBE), timeout_s=_PROBE_S)
        text = said.text.strip()
        if said.exit_code != 0 or not text:
            words = (said.stderr or said.stdout).decode("utf-8", "backslashreplace").strip()
            raise DeviceError(
                f"{self.transport.serial} has no Python that runs as '{self._python}': "
                f"{words[-300:] or 'it says nothing'}",
                "install Python 3.10 or newer there, or name one: --python /path/to/python; "
                "a phone is measured by --runner litert-lm or app",
            )
        try:
            found = json.loads(text.splitlines()[-1])
            version, files = found["version"], dict(found["files"])
        except (ValueError, KeyError, TypeError) as error:
            raise DeviceError(
                f"'{self._python}' on {self.transport.serial} says {text[-100:]!r}, expected JSON",
                "name a Python that says nothing of its own: --python /path/to/python",
            ) from error
        if version is None:
            raise DeviceError(
                f"LiteRT-LM is not installed for '{self._python}' on {self.transport.serial}",
                f"install it there: {self._python} -m pip install {_PACKAGE}",
            )
        return EngineFacts(
            runner="board",
            name="litert-lm (Python)",
            version=str(version) or None,
            files_sha256={str(name): str(digest) for name, digest in files.items()},
        )

    def _push_child(self) -> None:
        sources = {
            "board_child.py": Path(board_child.__file__),
            "engine_measure.py": Path(engine_measure.__file__),
        }
        hashes = [(name, file_sha256(path)) for name, path in sources.items()]
        self._child_folder = f"{self.folder}/engines/{folder_digest(hashes)}"
        for name, path in sources.items():
            self.write(f"{self._child_folder}/{name}", path.read_bytes())


def _message(request: RunRequest, link: str) -> dict[str, Any]:
    """Return what the process on the board is told."""
    return {
        "bundle": link,
        "cache_dir": link.rpartition("/")[0],
        "kv_cache_len": read_dimensions(request.bundle).kv_cache_len,
        "prefill_tokens": request.workload.prefill_tokens,
        "decode_tokens": request.workload.decode_tokens,
        "depth": request.workload.depth,
        "delegate": request.delegate,
        "threads": request.threads,
        "activations": request.activations,
    }


def _answer(written: bytes | None) -> tuple[Metrics | None, str | None]:
    """Return what the process wrote: metrics, or an error."""
    if written is None:
        return None, None
    import msgspec

    try:
        told = msgspec.json.decode(written, type=dict[str, Any])
        if "error" in told:
            return None, str(told["error"])
        return msgspec.convert(told.get("done"), Metrics), None
    except msgspec.MsgspecError:
        return None, None
