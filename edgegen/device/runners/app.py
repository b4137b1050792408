"""The Android app as runner: `docs/reference/app-runner.md` is the contract with it.

The app measures in a process of its own, tells its progress by logcat and leaves one JSON file,
which `run-as` reads; so it must be debuggable.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgegen.bundle.contents import Bundle
from edgegen.device.bench.causes import failure_of
from edgegen.device.bench.record import EngineFacts, Failure
from edgegen.device.engine_logs import parse_log
from edgegen.device.engine_logs.gpu import why_not_on_gpu
from edgegen.device.runners.app_protocol import (
    PROTOCOL,
    TAG,
    AppRequest,
    AppResult,
    ProtocolMismatch,
    encode_request,
    progress_of,
    read_result,
)
from edgegen.device.runners.device_files import file_sha256
from edgegen.device.runners.device_log import device_time, lines_of, messages_of
from edgegen.device.runners.interface import Runner, RunOutcome, RunRequest
from edgegen.device.runners.on_device import OnDevice
from edgegen.device.runners.options import RunnerOptions
from edgegen.device.runners.outcomes import (
    Ran,
    checked_counts,
    lost,
    not_on_gpu,
    signatures_of,
    streamed,
    timed_out,
)
from edgegen.device.transports.failures import CancelledError
from edgegen.device.transports.interface import Transport
from edgegen.errors import DeviceError

PACKAGE = "dev.edgegen.demo"
ACTION = "dev.edgegen.action.BENCH"
_NAME = re.compile(r"[A-Za-z]\w*(?:\.[A-Za-z]\w*)+")
_BUILD = "build and install it: android_demo/README.md"
_POLL_S = 0.5
_WAY = 60  # characters
_EXCERPT = 2000
_GONE = 4  # polls without a process, after which none is waited for
_START_S = 30.0
_NOT_STARTED, _LATE = 3, 124  # how the script below ends

# {0} package, {1} request's id, {2} action, {3} time for logcat, {4} seconds, {5} tag. The app's
# files are its own, so each look goes by run-as.
_RUN = """package={0} id={1} limit={4}
logcat -v threadtime -T {3} -s {5}:I & watching=$!
trap 'kill $watching 2>/dev/null; am force-stop $package' EXIT
trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM
am start -W -a {2} -p $package --es request $id 2>&1 || exit 3
gone=0 turns=0
until run-as $package test -f files/bench/$id/result.json; do
  turns=$((turns + 1))
  [ $turns -le $limit ] || exit 124
  if [ -n "$(pidof $package)" ]; then gone=0; else gone=$((gone + 1)); fi
  [ $gone -lt {6} ] || exit 4
  sleep {7}
done
sleep 0.2
exit 0
"""


def open(transport: Transport, options: RunnerOptions) -> Runner:
    """Return the runner for a phone with the app.

    Raises:
        DeviceError: the app's name is no name of a package.
    """
    return AppRunner(transport, options)


class AppRunner(OnDevice):
    """Has the app measure, each time in a process of its own."""

    def __init__(self, transport: Transport, options: RunnerOptions) -> None:
        super().__init__(transport, options)
        self._package = options.app or PACKAGE
        if _NAME.fullmatch(self._package) is None:
            raise DeviceError(
                f"'{self._package}' is no name of a package", f"name it as in {PACKAGE}"
            )
        self._facts: EngineFacts | None = None
        self._copied: dict[str, str] = {}

    def prepare(self, bundle: Bundle) -> None:
        """Look for the app, and copy the bundle into its files.

        Raises:
            DeviceError: the app is not installed, or not debuggable, or the copy failed.
        """
        if self._facts is None:
            self._facts = self._look()
        self._copy(bundle)

    def engine(self) -> EngineFacts:
        """Return the app's version; of its engine the results tell."""
        return self._facts or EngineFacts(runner="app", name=self._package)

    def drop_caches(self) -> None:
        """Have the app remove what its engine prepared, before the next run."""
        self._cold = True

    def run(self, request: RunRequest) -> RunOutcome:
        """Have the app measure once; see `Runner.run`."""
        if self._facts is None:
            raise DeviceError("the app was not looked for yet", "call prepare first")
        name = secrets.token_hex(8)
        try:
            asked = AppRequest.of(request, name, self._copy(request.bundle), cold=self._cold)
            self._hand_over(name, encode_request(asked))
            self._cold = False
            ran = self._started(name, request)
        except CancelledError:
            raise
        except DeviceError as error:
            return RunOutcome(0.0, None, lost(error))
        flags, result = _flags(asked), None
        try:
            result = None if ran.failure else self._result(name)
        except ProtocolMismatch as error:
            ran = replace(ran, failure=Failure("no_result", error.message, error.hint or ""))
        except DeviceError as error:
            ran = replace(ran, failure=lost(error))
        outcome = self._judged(ran, result, request, flags)
        self._clear(name)
        return outcome

    def close(self) -> None:
        """Remove what this benchmark left; the app keeps its bundles."""
        super().close()

    def _judged(
        self, ran: Ran, result: AppResult | None, request: RunRequest, flags: tuple[str, ...]
    ) -> RunOutcome:
        if result is None:
            return self.outcome(ran, None, self._why_nothing(ran, request), flags=flags)
        log = f"{result.log}\n{ran.log}" if result.log else ran.log
        wall_s = result.wall_s if result.wall_s and result.wall_s > 0 else ran.wall_s
        ran = Ran(wall_s, ran.exit_code, log, result.series, pid=ran.pid)
        failure, metrics = result.failure, result.metrics
        taken, adapter = result.delegations, result.gpu_adapter
        if result.way is not None:
            flags = (*flags, f"way={result.way[:_WAY]}")
        if failure is None and request.delegate == "gpu":
            words = f"{log}\n{messages_of(self.logcat(), ran.pid)}"
            shown = parse_log(words)
            taken = taken or shown.delegations
            adapter = adapter or shown.gpu.adapter
            why = why_not_on_gpu(shown.gpu, taken, signatures_of(request.bundle))
            if why is not None:
                failure = not_on_gpu(why, words)
        if failure is None and metrics is None:
            failure = Failure(
                "no_result",
                f"the result of {self._package} has neither metrics nor a failure",
                "see docs/reference/app-runner.md for what it must have",
            )
        elif failure is None and metrics is not None:
            metrics, failure = checked_counts(metrics, request)
        return self.outcome(
            ran,
            metrics,
            failure,
            flags=flags,
            memory=result.memory,
            delegations=taken,
            gpu_adapter=adapter,
            missing=result.missing,
        )

    def _why_nothing(self, ran: Ran, request: RunRequest) -> Failure:
        """Return why the app left no result."""
        if ran.failure is not None:
            return ran.failure
        if ran.exit_code == _NOT_STARTED or "unable to resolve Intent" in ran.log:
            return Failure(
                "missing",
                f"{self._package} does not answer {ACTION}",
                "install a version of the app with the benchmark runner",
                ran.log[-1000:],
            )
        logcat = lines_of(self.logcat(), ran.pid, self._package)
        # An app's status is nobody's to see: what the system says of it stands for it.
        killed = re.search(
            rf"(?:lowmemorykiller|lmkd)[^\n]{{0,200}}'{re.escape(self._package)}'", logcat
        ) or re.search(r"exited due to signal 9", logcat)
        code = 137 if killed else 139 if "signal 11 (SIGSEGV)" in logcat else None
        failure = failure_of(
            f"{ran.log}\n{messages_of(logcat, ran.pid)}",
            exit_code=code,
            delegate=request.delegate,
            logcat=logcat,
            pid=ran.pid,
        )
        if code is not None or failure.kind not in ("no_result", "refused"):
            return failure
        if (thrown := re.search(r"FATAL EXCEPTION[^\n]*(?:\n[^\n]*){0,4}", logcat)) is not None:
            return Failure(
                "crashed",
                f"{self._package} ended with an exception",
                "the excerpt belongs into a report",
                thrown[0][:_EXCERPT],
            )
        return Failure(
            "crashed",
            f"{self._package} ended without a result",
            "look at the log; a user or the system may have ended it",
            logcat[-_EXCERPT:],
        )

    def _started(self, name: str, request: RunRequest) -> Ran:
        """Start the app, and wait for its result."""
        self._began = device_time(self.transport)
        self.transport.run(("am", "force-stop", self._package))
        script = _RUN.format(
            self._package,
            name,
            ACTION,
            shlex.quote(self._began or "01-01 00:00:00.000"),
            max(1, round(request.timeout_s / _POLL_S)),
            TAG,
            _GONE,
            _POLL_S,
        )
        ran = streamed(self.transport, script, request)
        progress = progress_of(ran.log, name)
        pid = next((each.pid for each in progress if each.pid is not None), None)
        failure = timed_out(request) if ran.exit_code == _LATE else ran.failure
        return replace(ran, pid=pid, failure=failure)

    def _result(self, name: str) -> AppResult | None:
        """Read the result that the app left, `None` if there is none."""
        path = f"files/bench/{name}/result.json"
        said = self.transport.shell(
            f"run-as {self._package} test -f {path} && run-as {self._package} cat {path}",
            timeout_s=self.transport.silence_s,
        )
        return read_result(said.stdout, name) if said.exit_code == 0 and said.stdout else None

    def _hand_over(self, name: str, content: bytes) -> None:
        """Put a request into the app's files."""
        self._used = True
        source = f"{self.work}/{name}.json"
        self.write(source, content)
        folder = f"files/bench/{name}"
        self.transport.run(
            f"run-as {self._package} mkdir -p {folder} && "
            f"run-as {self._package} sh -c 'cat >{folder}/request.json' <{shlex.quote(source)} && "
            f"rm -f {shlex.quote(source)}"
        )

    def _clear(self, name: str) -> None:
        """Remove request and result from the app's files."""
        try:
            self.transport.run(("run-as", self._package, "rm", "-rf", f"files/bench/{name}"))
        except DeviceError:
            return  # the next run of the app removes them, as the contract says

    def _copy(self, bundle: Bundle) -> str:
        """Copy a bundle into the app's files, unless it is there; return its path in them."""
        key = str(bundle.path.absolute())
        if key in self._copied:
            return self._copied[key]
        source = self.push_bundle(bundle)
        digest, size = file_sha256(bundle.path), bundle.path.stat().st_size
        folder = f"files/bundles/{digest[:16]}"
        target = f"{folder}/{bundle.path.name}"
        quoted, part = shlex.quote(target), shlex.quote(f"{target}.part")
        # The shell opens what it pushed; the app's user need not be able to.
        script = (
            f"as='run-as {self._package}'\n"
            f'[ "$($as wc -c {quoted} 2>/dev/null | cut -d" " -f1)" = {size} ] && exit 0\n'
            f"$as mkdir -p {folder} && "
            f"$as sh -c {shlex.quote(f'cat >{part}')} <{shlex.quote(source)} && "
            f"$as mv -f {part} {quoted}"
        )
        self.transport.run(script, timeout_s=60 + size / 10e6)
        self._copied[key] = target
        return target

    def _look(self) -> EngineFacts:
        """Return what is known of the app.

        Raises:
            DeviceError: it cannot be used.
        """
        serial, package = self.transport.serial, self._package
        there = self.transport.shell(("pm", "path", package), timeout_s=_START_S)
        if not there.text.startswith("package:"):
            raise DeviceError(f"{package} is not installed on {serial}", _BUILD)
        said = self.transport.shell(("run-as", package, "true"), timeout_s=_START_S)
        if said.exit_code != 0:
            words = (said.stderr or said.stdout).decode("utf-8", "backslashreplace").strip()
            raise DeviceError(
                f"{package} on {serial} cannot be read: {words[-200:] or 'run-as refuses'}",
                "install its debug build: files of an app that is not debuggable are its own",
            )
        told = self.transport.shell(("dumpsys", "package", package), timeout_s=_START_S).text
        version = re.search(r"versionName=(\S{1,60})", told)
        return EngineFacts(
            runner="app", name=package, version=version[1] if version is not None else None
        )


def _flags(asked: AppRequest) -> tuple[str, ...]:
    """Return what stands for the engine's command line."""
    told: Mapping[str, Any] = {name: getattr(asked, name) for name in asked.FLAGS}
    return (
        f"protocol={PROTOCOL}",
        *(f"{name}={value}" for name, value in told.items() if value is not None),
    )
