"""Keeps the processes of a fleet alive: starts them in order, starts again what ends, stops all on SIGTERM.

``python -m merope.fleet.supervisor DIRECTORY``. It reads ``processes.json``, again on SIGHUP, and writes
``supervisor.json`` whenever something changes. A process that ends is started again after a delay that doubles from a
tenth of a second to two seconds and begins anew once it has run for ten. Jobs run at their intervals.

Killing the supervisor itself does no lasting harm either: one of its children is a guard, which waits on a pipe for the
supervisor's end and then becomes the supervisor. The new one ends the processes that the old one left, which it could
not watch over, and starts them afresh.

Standard library only, so that it takes few megabytes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import io
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Final

from merope.fleet.processes import (
    BACKOFF,
    READY,
    STARTING,
    STOPPED,
    WAITING,
    ProcessSpec,
    ProcessState,
    SupervisorState,
    birth,
    is_alive,
    read_specs,
    read_state,
    write_state,
)

_FIRST_DELAY: Final = 0.1
_LONGEST_DELAY: Final = 2.0
_STEADY: Final = 10.0
_STOP_SECONDS: Final = 8.0
_ORPHAN_SECONDS: Final = 0.7
_LARGEST_LOG: Final = 10 * 1024 * 1024
#: Seconds between looks at the size of the logs, and at the clock for jobs: a clock on the wall, since machines sleep.
_TIDY_SECONDS: Final = 60.0
_GUARD: Final = "guard"
#: Bytes at the end of a log that its last line is looked for in.
_LAST_LINE: Final = 4096


class Child:
    """One process, kept alive by a task of its own."""

    def __init__(self, spec: ProcessSpec, supervisor: Supervisor, restarts: int = 0) -> None:
        self.spec = spec
        self.state = ProcessState(spec.name, restarts=restarts)
        self.ready = asyncio.Event()
        self._supervisor = supervisor
        self._process: asyncio.subprocess.Process | None = None
        self._stopping = False
        self._cannot_start = ""
        self.task = asyncio.create_task(self._keep(), name=spec.name)

    async def _keep(self) -> None:
        delay = _FIRST_DELAY
        for name in self.spec.after:
            await self._supervisor.wait_ready(name)
        while not self._stopping:
            if self.spec.every and delay == _FIRST_DELAY:
                await self._wait_for_turn()
            began = time.monotonic()
            code = await self._run_once()
            if self._stopping:
                break
            if time.monotonic() - began > _STEADY or (self.spec.every and code == 0):
                delay = _FIRST_DELAY
            if self.spec.every and code == 0:
                continue
            self.ready.clear()
            self.state.restarts += 1
            self._set(BACKOFF, problem=self._problem(code))
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY)
        self._set(STOPPED)

    async def _wait_for_turn(self) -> None:
        self._set(WAITING)
        due = time.time() + self.spec.every
        while (left := due - time.time()) > 0:  # noqa: ASYNC110 - a time of the day, not of this loop
            await asyncio.sleep(min(left, _TIDY_SECONDS))

    async def _run_once(self) -> int:
        """Start the process and wait for its end; its exit status, 127 where it cannot be started."""
        arguments = list(self.spec.arguments)
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            try:
                log = self._supervisor.log(self.spec.name)
                theirs.callback(os.close, log)
                reading, writing = os.pipe()
                reader = ours.enter_context(os.fdopen(reading, "rb", buffering=0))
                theirs.callback(os.close, writing)
                if self.spec.announces:
                    arguments += ["--ready-fd", str(writing)]
                self._process = await asyncio.create_subprocess_exec(
                    *arguments,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(writing,) if self.spec.announces else (),
                    start_new_session=True,
                )
            except OSError as error:
                self._cannot_start = str(error)
                return 127
            theirs.close()
            self.state.pid, self.state.born = self._process.pid, birth(self._process.pid)
            self._set(STARTING, problem=self.state.problem)
            if not self.spec.announces:
                self._ready()
                return await self._process.wait()
            watching = asyncio.create_task(self._await_ready(reader))
            try:
                return await self._process.wait()
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)

    async def _await_ready(self, pipe: io.FileIO) -> None:
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            if await reader.read(1):
                self._ready()
        finally:
            transport.close()

    def _ready(self) -> None:
        self.ready.set()
        self._set(READY)

    def _set(self, state: str, problem: str = "") -> None:
        if state in (BACKOFF, STOPPED, WAITING):
            self.state.pid, self.state.born = 0, ""
        self.state.state, self.state.problem, self.state.since = state, problem, time.time()
        self._supervisor.save()

    def _problem(self, code: int) -> str:
        if self._cannot_start:
            said, self._cannot_start = self._cannot_start, ""
            return f"cannot start: {said}"
        if code < 0:
            return f"killed by {signal.Signals(-code).name}"
        said = self._supervisor.last_line(self.spec.name)
        return f"exit status {code}" + (f": {said}" if said else "")

    async def stop(self) -> None:
        """End the process: asked first, then forced."""
        self._stopping = True
        process = self._process
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                async with asyncio.timeout(_STOP_SECONDS):
                    await process.wait()
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        else:
            self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self._set(STOPPED)


class Supervisor:
    """All processes of one fleet."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._state_file = directory / "supervisor.json"
        self._children: dict[str, Child] = {}
        self._guard: asyncio.subprocess.Process | None = None
        self._guard_since = 0.0
        self._guarding: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        self._spec_text = ""
        self._pid, self._born, self._since = os.getpid(), birth(os.getpid()), time.time()

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGHUP, self._changed.set)
        await self._end_orphans()
        self._guarding = asyncio.create_task(self._keep_guard(), name=_GUARD)
        tidying = asyncio.create_task(self._tidy(), name="tidying")
        self._changed.set()
        stopping = asyncio.create_task(self._stopping.wait())
        while not self._stopping.is_set():
            changed = asyncio.create_task(self._changed.wait())
            await asyncio.wait({stopping, changed}, return_when=asyncio.FIRST_COMPLETED)
            changed.cancel()
            if self._changed.is_set() and not self._stopping.is_set():
                self._changed.clear()
                await self._apply()
        for task in (stopping, tidying):
            task.cancel()
        await asyncio.gather(stopping, tidying, return_exceptions=True)
        await self._stop()

    async def _apply(self) -> None:
        """Make the running processes those of the specification; one that is unchanged goes on."""
        found = read_specs(self._directory / "processes.json")
        if found is None:
            print("processes.json cannot be read: what runs goes on", file=sys.stderr, flush=True)
            return
        text, specs = found
        wanted = {spec.name: spec for spec in specs}
        gone = [child for name, child in self._children.items() if wanted.get(name) != child.spec]
        for child in gone:
            del self._children[child.spec.name]
        await asyncio.gather(*(child.stop() for child in gone))
        for spec in specs:
            if spec.name not in self._children:
                self._children[spec.name] = Child(spec, self)
        self._spec_text = text
        self.save()

    async def wait_ready(self, name: str) -> None:
        """Wait until another process is ready; one that is not specified counts as ready."""
        child = self._children.get(name)
        if child is not None:
            await child.ready.wait()

    async def _stop(self) -> None:
        if self._guarding is not None:
            self._guarding.cancel()
            await asyncio.gather(self._guarding, return_exceptions=True)
        if self._guard is not None and self._guard.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._guard.kill()
            await self._guard.wait()
        # Agents and hub first, while what they talk to is still there.
        last = [child for child in self._children.values() if not child.spec.after]
        first = [child for child in self._children.values() if child.spec.after]
        await asyncio.gather(*(child.stop() for child in first))
        await asyncio.gather(*(child.stop() for child in last))
        with contextlib.suppress(OSError):
            self._state_file.unlink()

    # --- the guard -----------------------------------------------------------------------------------------------

    async def _keep_guard(self) -> None:
        """Keep a process that takes over when this one dies without having stopped it."""
        while True:
            reading, writing = os.pipe()
            os.set_inheritable(reading, True)
            try:
                self._guard = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-S",
                    "-c",
                    _GUARD_PROGRAM,
                    str(reading),
                    *_command(self._directory),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    stderr=asyncio.subprocess.DEVNULL,
                    pass_fds=(reading,),
                    start_new_session=True,
                )
            finally:
                os.close(reading)
            try:
                self._guard_since = time.time()
                self.save()
                await self._guard.wait()
            finally:
                os.close(writing)
            await asyncio.sleep(_FIRST_DELAY)

    async def _end_orphans(self) -> None:
        """End the processes that a supervisor before this one left running."""
        before = read_state(self._state_file)
        # The guard is not among them: it is what has become this supervisor.
        left = [
            each
            for each in (before.processes if before else ())
            if each.pid != self._pid and is_alive(each.pid, each.born)
        ]
        for number in (signal.SIGTERM, signal.SIGKILL):
            for each in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(each.pid, number)
            deadline = time.monotonic() + _ORPHAN_SECONDS
            while left and time.monotonic() < deadline:
                await asyncio.sleep(0.02)
                left = [each for each in left if is_alive(each.pid, each.born)]

    # --- files ---------------------------------------------------------------------------------------------------

    def save(self) -> None:
        processes = [child.state for child in self._children.values()]
        guard = self._guard
        if guard is not None and guard.returncode is None:
            processes = [*processes, ProcessState(_GUARD, READY, guard.pid, birth(guard.pid), since=self._guard_since)]
        with contextlib.suppress(OSError):
            write_state(
                self._state_file, SupervisorState(self._pid, self._born, self._since, self._spec_text, processes)
            )

    def log(self, name: str) -> int:
        """A descriptor that appends to the log of a process. Raises OSError."""
        path = self._directory / "logs" / f"{name}.log"
        path.parent.mkdir(mode=0o700, exist_ok=True)
        return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    async def _tidy(self) -> None:
        """Put the content of logs that have grown large aside; who writes to them goes on at their new beginning."""
        while True:
            for path in (self._directory / "logs").glob("*.log"):
                with contextlib.suppress(OSError):
                    if path.stat().st_size > _LARGEST_LOG:
                        shutil.copyfile(path, path.with_suffix(".log.1"))
                        path.with_suffix(".log.1").chmod(0o600)
                        os.truncate(path, 0)
            await asyncio.sleep(_TIDY_SECONDS)

    def last_line(self, name: str) -> str:
        """The last thing that a process said."""
        try:
            with open(self._directory / "logs" / f"{name}.log", "rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - _LAST_LINE))
                lines = file.read().decode(errors="replace").strip().splitlines()
        except OSError:
            return ""
        return lines[-1].strip() if lines else ""


#: Waits for the end of the pipe, which is the end of the supervisor, and becomes the supervisor. Kept minimal: it is
#: a process that does nothing for as long as all is well.
_GUARD_PROGRAM: Final = "import os, sys\nos.read(int(sys.argv[1]), 1)\nos.execv(sys.argv[2], sys.argv[2:])\n"


def _command(directory: Path) -> list[str]:
    return [sys.executable, "-m", "merope.fleet.supervisor", str(directory)]


def _lock(directory: Path) -> int:
    """Hold the fleet: one supervisor at a time. Raises BlockingIOError where another one runs."""
    descriptor = os.open(directory / "supervisor.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + 1.0
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # The one before may be about to be gone: its lock ends with its process.
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise
            time.sleep(0.02)
        else:
            return descriptor


def main() -> int:
    """Supervise the fleet in the directory that the command line names."""
    directory = Path(sys.argv[1])
    try:
        _lock(directory)
    except BlockingIOError:
        print("another supervisor runs this fleet", file=sys.stderr)
        return 3
    os.chdir(directory)
    asyncio.run(Supervisor(directory).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
