"""`edgegen bench --runner app` against the double, whose app is core's runner on a JVM."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from edgegen.cli import main
from edgegen.device.bench import record
from edgegen.device.runners.app import PACKAGE
from edgegen.device.testing import DUMPSYS, Adbd
from tests.device.doubles import free_port

SCHEMA = json.loads(Path(record.__file__).with_name("record.schema.json").read_text())
DATA = f'"$HOME/data/data/{PACKAGE}"'
# Android's commands, as far as the runner uses them. HOME is the double's root; its file `mode`
# says what goes wrong: the fake engine's trouble, the thermal status, and what is spoiled.
COMMANDS = {
    "pm": f'[ "$2" = {PACKAGE} ] && echo package:/data/app/base.apk',
    "run-as": f'shift; mkdir -p {DATA}; cd {DATA} && exec "$@"',
    "pidof": 'pid=$(cat "$HOME/app.pid" 2>/dev/null) && grep -q "^State:.[^ZX]" '
    '"/proc/$pid/status" 2>/dev/null && echo "$pid"',
    "logcat": 'touch "$HOME/logcat.txt"; case " $* " in *" -d "*) exec cat "$HOME/logcat.txt";; '
    'esac; exec tail -n +1 -f "$HOME/logcat.txt"',
}
AM = """case $1 in
force-stop) [ -e "$HOME/app.pid" ] && kill -9 "$(cat "$HOME/app.pid")" 2>/dev/null
  rm -f "$HOME/app.pid" ;;
start) while [ "$1" != request ]; do shift; done
  read -r trouble thermal spoiled <"$HOME/mode"
  case $spoiled in
  request) sed -i 's/"cpu"/"tpu"/' {data}/files/bench/$2/request.json ;;
  bundle) rm -rf {data}/files/bundles ;;
  esac
  setsid sh -c '{java} bench {data} "$0" "$HOME/logcat.txt" "$1" "$2" &
    echo $! >"$HOME/app.pid"; pid=$!; wait $pid
    [ $? != 137 ] || echo "11-23 20:15:16.123   479   479 I lowmemorykiller: Kill {package} \
($pid), uid 10247, oom_score_adj 0" >>"$HOME/logcat.txt"' "$2" "$trouble" "$thermal" \
    </dev/null >"$HOME/app.out" 2>&1 &
  while [ ! -s "$HOME/app.pid" ]; do sleep 0.05; done
  echo "Status: ok" ;;
esac
exit 0"""


@pytest.fixture
def bench(
    kotlin_tool: list[str],
    demo_task: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    """Run `edgegen bench` once on a phone whose app does what a mode says; return the rows."""
    root, home = tmp_path / "phone", tmp_path / "home"
    root.mkdir()
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free_port()))
    am = AM.replace("{data}", DATA).replace("{java}", shlex.join(kotlin_tool))
    am = am.replace("{package}", "'\\''" + PACKAGE + "'\\''")  # within a quoted script
    services = {**DUMPSYS, "package": "Packages:\n    versionName=1.2.3\n"}
    with ExitStack() as stack:
        phone = stack.enter_context(Adbd(root, commands={**COMMANDS, "am": am}, dumpsys=services))

        def run(mode: str = "none none -", *words: str) -> list[dict[str, Any]]:
            (phone.root / "mode").write_text(f"{mode}\n")
            out = tmp_path / "runs"
            status = main(
                [
                    *("bench", str(demo_task), "--device", phone.serial, "--runner", "app"),
                    *("-p", "32", "-n", "16", "--repeats", "1", "--warmup", "1"),
                    *("--out", str(out), "--json", *words),
                ]
            )
            told = capsys.readouterr()
            rows = [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]
            for row in rows:
                jsonschema.validate(row, SCHEMA)
            failed = any(row["failure"] for row in rows)
            assert status == int(failed), told.err
            return rows

        yield run


def test_a_benchmark_of_the_app(bench: Callable[..., list[dict[str, Any]]]) -> None:
    rows = bench()
    assert [row["phase"] for row in rows] == ["cold", "warmup", "kept"]
    for row in rows:
        assert row["failure"] is None
        assert row["engine"] == {
            "runner": "app",
            "name": PACKAGE,
            "version": "1.2.3",
            "files_sha256": {},
            "gpu_adapter": None,
        }
        metrics = row["metrics"]
        assert (metrics["prefill_tokens"], metrics["prefill_tokens_per_s"]) == (32, 1600.5)
        assert (metrics["decode_tokens"], metrics["decode_tokens_per_s"]) == (16, 22.5)
        assert (metrics["init_ms"], metrics["ttft_ms"]) == (812.5, 40.25)
        # The runner samples its own process, a JVM.
        assert row["memory"]["peak_rss_bytes"] > 10e6
        assert row["wall_s"] > 0.05


@pytest.mark.parametrize(
    ("mode", "kind", "message"),
    [
        (
            "killed none -",
            "out_of_memory",
            "the device ran out of memory, and its system killed the engine",
        ),
        (
            "none severe -",
            "too_hot",
            "the device is too hot to be measured: its thermal status is severe, expected none",
        ),
        ("none none bundle", "missing", "there is no files/bundles/"),
        ("none none request", "refused", "the request cannot be read: "),
        ("refuses none -", "refused", "the bundle has no decode signature"),
        ("throws none -", "crashed", "IllegalStateException: the fake engine broke"),
        ("silent none -", "no_result", "fake engine ended without telling any rate"),
        ("short none -", "wrong_counts", "the engine ran 32 prefill and 15 decode tokens"),
    ],
    ids=("killed", "hot", "no bundle", "bad request", "refused", "throws", "silent", "short"),
)
def test_each_failure_is_the_right_row(
    bench: Callable[..., list[dict[str, Any]]], mode: str, kind: str, message: str
) -> None:
    rows = bench(mode)
    assert rows
    assert {row["failure"]["kind"] for row in rows} == {kind}
    assert rows[0]["failure"]["message"].startswith(message)
    assert rows[0]["metrics"] is None


def test_an_app_that_hangs_is_ended(
    bench: Callable[..., list[dict[str, Any]]],
) -> None:
    rows = bench("hangs none -", "--timeout", "6")
    assert {row["failure"]["kind"] for row in rows} == {"timed_out"}
