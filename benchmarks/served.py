"""A real ``quickeye serve`` process on a free loopback port, and what the kernel says of it."""

import http.client
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 20.0
POLL_S = 0.01
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A loopback port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class Served:
    """Context manager: starts the server, waits for ``/readyz``, always ends it by its process id."""

    def __init__(
        self,
        *flags: str,
        program: tuple[str, ...] = ("quickeye", "serve"),
        ready_within_s: float = READY_WITHIN_S,
    ) -> None:
        """Prepare ``quickeye serve``, or another module, with ``flags``; host and port are chosen here."""
        self._program = program
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start_to_ready_s = 0.0
        self._flags = flags
        self._ready_within_s = ready_within_s
        self._process: subprocess.Popen[bytes] | None = None
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process

    def __enter__(self) -> "Served":
        command = [sys.executable, "-m", *self._program, "--host", "127.0.0.1", "--port", str(self.port)]
        root = Path(__file__).parent.parent
        began = time.perf_counter()
        self._process = subprocess.Popen([*command, *self._flags], cwd=root, stdout=self._log, stderr=self._log)
        try:
            while not self._is_ready():
                if self._process.poll() is not None or time.perf_counter() - began > self._ready_within_s:
                    raise RuntimeError(f"the server did not get ready:\n{self.log()}")
                time.sleep(POLL_S)
        except BaseException:
            self._end()
            raise
        self.start_to_ready_s = time.perf_counter() - began
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    @property
    def pid(self) -> int:
        """Of the server."""
        if self._process is None:
            raise RuntimeError("the server is not started")
        return self._process.pid

    def log(self) -> str:
        """What the server printed."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-4000:]

    def cpu_s(self) -> float:
        """CPU time of all its threads so far, user and system; the kernel counts in 1/100 s."""
        words = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / CLOCK_TICKS

    def peak_mb(self) -> float:
        """The largest resident set so far (VmHWM), in 10⁶ bytes."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        kib = next(line.split()[1] for line in lines if line.startswith("VmHWM:"))
        return int(kib) * 1024 / 1e6

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _end(self) -> None:
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
