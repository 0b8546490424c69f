"""Processes on their cores: how they are started and ended, and what they take."""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

PROXY_CORE, OTHER_CORE = 0, 1
TICK = 1 / os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """A measurement that did not come about."""


def explained(error):
    """What went wrong, and what the programs said that ran."""
    return "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def pinned(cores, command):
    return ["taskset", "--cpu-list", ",".join(map(str, cores)), *map(str, command)]


class Process:
    """A program that listens, from its start to its end."""

    def __init__(self, command, port, log, cores=(PROXY_CORE,), environment=None):
        self.log = pathlib.Path(log)
        self.cores = cores
        with self.log.open("wb") as output:
            started = time.perf_counter()
            self.child = subprocess.Popen(
                pinned(cores, command),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, **(environment or {})},
            )
        try:
            self.seconds_to_listen = self._wait(port, started)
        except BaseException:
            self.end()
            raise

    def _wait(self, port, started):
        while time.perf_counter() < started + 60:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=5):
                return time.perf_counter() - started
            if self.child.poll() is not None:
                break
            time.sleep(0.0002)
        ended = self.child.poll()
        how = "has listened for nobody in a minute" if ended is None else f"ended with exit code {ended}"
        raise Failed(f"{self.child.args[3]} {how}:\n{self.log.read_text(errors='replace')[-2000:]}")

    def end(self):
        if self.child.poll() is None:
            self.child.terminate()
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                pass
        # What it left behind goes with its session's group.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait()

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            error.add_note(f"{self.child.args[3]} said: {self.log.read_text(errors='replace')[-1000:] or 'nothing'}")
        self.end()

    def cpu(self):
        """Seconds of user and system time so far, of all its processes and threads."""
        ticks = 0
        for pid in family(self.child.pid):
            fields = stat(pid)
            # utime, stime, and those of children that have ended.
            ticks += sum(int(field) for field in fields[11:15])
        return ticks * TICK

    def memory(self):
        """Bytes that are its own, and its share of what others have too."""
        total = 0
        for pid in family(self.child.pid):
            for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
        return total


def stat(pid):
    """The fields of /proc/PID/stat from the third on."""
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def family(first):
    parents = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                parents.setdefault(int(stat(entry)[1]), []).append(int(entry))
    found = [first]
    for pid in found:
        found += parents.get(pid, [])
    return found


def work_directory():
    """In memory where there is room, so that no disk is measured."""
    shared = "/dev/shm"
    base = shared if os.path.isdir(shared) and shutil.disk_usage(shared).free > 2 << 30 else None
    import tempfile

    return tempfile.TemporaryDirectory(prefix="tidegate-compare.", dir=base)
