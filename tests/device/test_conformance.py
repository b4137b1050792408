"""What every transport does, whichever way it takes to the device."""

from __future__ import annotations

import hashlib
import io
import os
import shlex
import stat
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgegen.device.transports.failures import (
    CancelledError,
    CommandFailedError,
    DeviceFileError,
    DeviceTimeoutError,
    EndlessOutputError,
    PathRefusedError,
    ReadOnlyTargetError,
)
from tests.processes import processes_with, wait_for

PATHS = st.text(
    st.characters(blacklist_categories=("Cs",), blacklist_characters="/\0"), min_size=1, max_size=60
).filter(lambda name: name not in (".", "..") and len(name.encode()) <= 255)


def test_exit_code_and_output(reached):
    result = reached.transport.shell("echo out; echo err >&2; exit 7")
    assert result.exit_code == 7
    if result.merged:
        assert result.stdout == b"out\nerr\n"
        assert result.stderr == b""
    else:
        assert result.stdout == b"out\n"
        assert result.stderr == b"err\n"


def test_only_devices_without_shell_protocol_2_merge_errors_with_output(reached):
    merged = reached.transport.shell("true").merged
    assert merged == (reached.double is not None and "shell_v2" not in reached.double.banner)


@pytest.mark.parametrize("code", [0, 1, 126, 127, 255])
def test_exit_codes(reached, code):
    assert reached.transport.shell(f"exit {code}").exit_code == code


def test_output_without_a_line_end_and_with_any_byte(reached):
    script = r"printf 'a\000b\377c\r\nd'"
    assert reached.transport.shell(script).stdout.replace(b"\r\n", b"\n") == b"a\0b\xffc\nd"


def test_much_output_comes_whole(reached):
    wanted = reached.root / "much"
    wanted.write_bytes(os.urandom(3_000_000).replace(b"\n", b"x").replace(b"\r", b"x"))
    result = reached.transport.shell(f"cat {shlex.quote(str(wanted))}")
    assert hashlib.sha256(result.stdout).digest() == hashlib.sha256(wanted.read_bytes()).digest()
    assert result.exit_code == 0


def test_endless_output_ends(reached):
    began = time.monotonic()
    with pytest.raises(EndlessOutputError) as caught:
        reached.transport.shell("yes", output_limit=1_000_000)
    assert str(caught.value) == (
        f"{reached.transport.serial} sent more than 1000000 bytes as the output of 'yes'"
    )
    assert time.monotonic() - began < 10


def test_words_are_quoted(reached):
    words = ["a b", "$HOME", "`id`", "x'y", '"', "\\", "*", "; exit 3", "ü", "", "-n", "new\nline"]
    result = reached.transport.shell(["printf", "[%s]", *words])
    assert result.text == "".join(f"[{word}]" for word in words)
    assert result.exit_code == 0


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(
        st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r"))
    )
)
def test_any_words_are_quoted(reached, words):
    result = reached.transport.shell(["printf", "[%s]", *words])
    assert result.text == ("".join(f"[{word}]" for word in words) or "[]")


def test_output_streams_as_it_comes(reached):
    stamps = []
    with reached.transport.stream("echo 1; sleep 0.3; echo 2; sleep 0.3; echo 3") as running:
        for output in running:
            stamps.append((time.monotonic(), output.data))
        assert running.exit_code == 0
    assert b"".join(data for _, data in stamps) == b"1\n2\n3\n"
    assert stamps[-1][0] - stamps[0][0] > 0.3


def test_input_reaches_the_command(reached):
    if reached.transport.shell("true").merged:
        pytest.skip("an old device cannot be told where input ends")
    data = os.urandom(2_000_000)
    result = reached.transport.shell("sha256sum", stdin=io.BytesIO(data))
    assert result.text.split()[0] == hashlib.sha256(data).hexdigest()


def test_a_command_may_end_before_it_has_read_all(reached):
    if reached.double is not None and "exec" in reached.double.refused_services:
        pytest.skip("a terminal is no place for bytes")
    result = reached.transport.shell("head -c 5", stdin=io.BytesIO(b"x" * 5_000_000))
    assert result.stdout == b"xxxxx"
    assert result.exit_code == 0


def test_a_command_may_answer_while_it_reads(reached):
    """Neither side may wait for the other, with more in flight than pipes and sockets hold."""
    if reached.transport.shell("true").merged:
        pytest.skip("an old device cannot be told where input ends")
    data = os.urandom(12_000_000)
    assert reached.transport.shell("cat", stdin=io.BytesIO(data), timeout_s=60).stdout == data


def test_a_command_that_answers_without_end_while_it_reads(reached):
    if reached.transport.shell("true").merged or reached.double is None:
        pytest.skip("an old device cannot be told where input ends; a pipe here takes turns")
    with pytest.raises(EndlessOutputError) as caught:
        reached.transport.shell("yes; cat", stdin=io.BytesIO(bytes(10_000_000)), timeout_s=60)
    assert str(caught.value) == (
        f"{reached.transport.serial} sent more than 16777216 bytes as an answer while it was "
        "still being spoken to"
    )


def test_commands_without_input_read_nothing(reached):
    assert reached.transport.shell("cat; echo end", timeout_s=10).text == "end\n"


def test_a_timeout_ends_the_command_and_its_children(reached):
    mark = f"EDGEGEN_TEST_MARK={os.urandom(8).hex()}"
    with pytest.raises(DeviceTimeoutError) as caught:
        reached.transport.shell(f"export {mark}; sleep 60 & sleep 60", timeout_s=0.7)
    assert str(caught.value) == f"{reached.transport.serial} did not finish within 0.7 s"
    assert wait_for(lambda: not processes_with(mark))
    assert reached.transport.shell("echo alive").text == "alive\n"


def test_silence_has_a_limit_of_its_own(reached):
    with (
        pytest.raises(DeviceTimeoutError) as caught,
        reached.transport.stream("echo 1; sleep 60", silence_s=0.5) as running,
    ):
        list(running)
    assert str(caught.value) == f"{reached.transport.serial} said nothing within 0.5 s"


def test_a_silent_command_may_take_longer_than_ten_seconds_if_allowed(reached):
    """adb-shell ends such a command by default; here silence has no limit unless one is set."""
    assert reached.transport.silence_s > 10
    with reached.transport.stream("sleep 0.7; echo late") as running:
        assert b"".join(output.data for output in running) == b"late\n"


def test_cancelling_from_another_thread(reached):
    mark = f"EDGEGEN_TEST_MARK={os.urandom(8).hex()}"
    cancel = threading.Event()
    timer = threading.Timer(0.5, cancel.set)
    timer.start()
    began = time.monotonic()
    with pytest.raises(CancelledError) as caught:
        reached.transport.shell(f"export {mark}; sleep 60", cancel=cancel)
    assert time.monotonic() - began < 5
    assert str(caught.value) == f"stopped working with {reached.transport.serial}, as asked"
    assert wait_for(lambda: not processes_with(mark))
    timer.join()


def test_leaving_early_ends_the_command(reached):
    mark = f"EDGEGEN_TEST_MARK={os.urandom(8).hex()}"
    with reached.transport.stream(f"export {mark}; while :; do echo x; sleep 0.1; done") as running:
        assert next(running).data.startswith(b"x")
    assert wait_for(lambda: not processes_with(mark))


def test_two_commands_at_once(reached):
    """One waits in silence; the other must not wait for it."""
    slow = threading.Thread(target=reached.transport.shell, args=("sleep 1.2",))
    slow.start()
    time.sleep(0.2)
    assert reached.transport.shell("echo quick").text == "quick\n"
    assert slow.is_alive()
    slow.join()


def test_run_raises_what_the_command_said(reached):
    with pytest.raises(CommandFailedError) as caught:
        reached.transport.run("echo no such luck >&2; exit 3")
    assert str(caught.value) == (f"'echo' on {reached.transport.serial} ended with 3: no such luck")


@pytest.mark.parametrize("size", [0, 1, 4095, 65536, 1_048_576, 3_333_333])
def test_push_and_pull(reached, size):
    data = os.urandom(size)
    path = reached.path("new/folder/file")
    seen = []
    count = reached.transport.push(io.BytesIO(data), path, mtime=1_600_000_000, advance=seen.append)
    assert count == size == sum(seen)
    assert (reached.root / "new/folder/file").read_bytes() == data
    found = reached.transport.stat(path)
    assert found is not None
    assert found.is_file
    assert (found.size, found.mtime) == (size, 1_600_000_000)
    sink, seen = io.BytesIO(), []
    assert reached.transport.pull(path, sink, advance=seen.append) == size == sum(seen)
    assert sink.getvalue() == data


def test_push_replaces_and_sets_the_mode(reached):
    path = reached.path("program")
    reached.transport.push(io.BytesIO(b"old and longer"), path)
    reached.transport.push(io.BytesIO(b"new"), path, mode=0o755)
    assert (reached.root / "program").read_bytes() == b"new"
    assert (reached.root / "program").stat().st_mode & 0o777 >= 0o755


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=PATHS)
def test_any_name_can_be_written_listed_renamed_and_removed(reached, name):
    path = reached.path(name)
    reached.transport.push(io.BytesIO(b"content"), path)
    assert [entry.name for entry in reached.transport.list(str(reached.root))] == [name]
    reached.transport.rename(path, reached.path("renamed"))
    assert reached.transport.stat(path) is None or name == "renamed"
    assert (reached.root / "renamed").read_bytes() == b"content"
    reached.transport.remove(reached.path("renamed"))
    assert list(reached.root.iterdir()) == []


def test_write_at_goes_on_in_the_middle(reached):
    data = os.urandom(3_500_000)
    path = reached.path("part")
    if reached.transport.shell("true").merged and "exec" in reached.double.refused_services:
        pytest.skip("a terminal is no place for bytes")
    seen = []
    reached.transport.write_at(io.BytesIO(data), path, block=0, size=len(data), advance=seen.append)
    assert (reached.root / "part").read_bytes() == data
    assert sum(seen) == len(data)
    changed = os.urandom(1_000_000)
    reached.transport.write_at(io.BytesIO(changed), path, block=2, size=len(changed))
    at = 2 * 1024**2
    wanted = data[:at] + changed + data[at + len(changed) :]
    assert (reached.root / "part").read_bytes() == wanted


def test_stat_does_not_follow_links(reached):
    (reached.root / "real").write_bytes(b"12345")
    (reached.root / "link").symlink_to("real")
    found = reached.transport.stat(reached.path("link"))
    assert found is not None
    assert found.is_link
    assert reached.transport.stat(reached.path("nothing")) is None
    assert reached.transport.stat(reached.path("real/below")) is None
    folder = reached.transport.stat(str(reached.root))
    assert folder is not None
    assert folder.is_folder


def test_list_tells_kinds_and_sizes(reached):
    (reached.root / "file").write_bytes(b"12345")
    (reached.root / "folder").mkdir()
    entries = {entry.name: entry.stat for entry in reached.transport.list(str(reached.root))}
    assert list(entries) == ["file", "folder"]
    assert entries["file"].size == 5
    assert stat.S_ISDIR(entries["folder"].mode)
    assert reached.transport.list(reached.path("folder")) == []


@pytest.mark.parametrize("name", ["nothing", "file"])
def test_what_is_no_folder_cannot_be_listed(reached, name):
    (reached.root / "file").write_bytes(b"")
    with pytest.raises(DeviceFileError) as caught:
        reached.transport.list(reached.path(name))
    serial = reached.transport.serial
    assert str(caught.value) == f"{reached.path(name)} on {serial}: no folder that can be read"


def test_what_is_not_there_cannot_be_pulled(reached):
    with pytest.raises(DeviceFileError) as caught:
        reached.transport.pull(reached.path("nothing"), io.BytesIO())
    assert str(caught.value) == (
        f"{reached.path('nothing')} on {reached.transport.serial}: no such file"
    )
    with pytest.raises(DeviceFileError) as caught:
        reached.transport.pull(str(reached.root), io.BytesIO())
    assert str(caught.value) == f"{reached.root} on {reached.transport.serial}: no ordinary file"


def test_pull_takes_no_more_than_its_limit(reached):
    (reached.root / "file").write_bytes(b"x" * 1000)
    with pytest.raises(EndlessOutputError) as caught:
        reached.transport.pull(reached.path("file"), io.BytesIO(), limit=999)
    assert str(caught.value) == (
        f"{reached.transport.serial} sent more than 999 bytes as {reached.path('file')}"
    )


def test_removing_what_is_not_there_is_no_error(reached):
    reached.transport.remove(reached.path("nothing"))


def test_a_folder_is_made_with_those_above(reached):
    reached.transport.make_folder(reached.path("a/b/c"))
    reached.transport.make_folder(reached.path("a/b/c"))
    assert (reached.root / "a/b/c").is_dir()


def test_a_cancelled_push_leaves_no_file_and_a_usable_device(reached):
    cancel = threading.Event()

    def stop(count: int) -> None:
        cancel.set()

    with pytest.raises(CancelledError):
        reached.transport.push(
            io.BytesIO(os.urandom(30_000_000)), reached.path("file"), advance=stop, cancel=cancel
        )
    assert wait_for(lambda: not (reached.root / "file").exists())
    assert reached.transport.shell("echo alive").text == "alive\n"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("relative", "it is not absolute"),
        ("/a\0b", "it holds a NUL"),
        ("/" + "x" * 1024, "it is longer than 1024 bytes"),
    ],
)
def test_paths_that_cannot_be(reached, path, why):
    for call in (
        lambda: reached.transport.stat(path),
        lambda: reached.transport.list(path),
        lambda: reached.transport.remove(path),
        lambda: reached.transport.make_folder(path),
        lambda: reached.transport.rename("/x", path),
        lambda: reached.transport.pull(path, io.BytesIO(), limit=1),
        lambda: reached.transport.push(io.BytesIO(), path),
        lambda: reached.transport.write_at(io.BytesIO(), path, block=0, size=0),
    ):
        with pytest.raises(PathRefusedError) as caught:
            call()
        assert str(caught.value) == f"refused the path {path!r}: {why}"


def test_a_command_with_a_nul_is_refused(reached):
    with pytest.raises(PathRefusedError) as caught:
        reached.transport.shell(["echo", "a\0b"])
    assert str(caught.value) == "refused the path \"echo 'a\\x00b'\": it holds a NUL"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(reached):
    (reached.root / "locked").mkdir(mode=0o500)
    with pytest.raises(ReadOnlyTargetError) as caught:
        reached.transport.push(io.BytesIO(b"x"), reached.path("locked/file"))
    assert str(caught.value).startswith(f"cannot write {reached.path('locked/file')} on ")
