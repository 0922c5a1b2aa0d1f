"""Running programs for scripts/gpu-check: with a time limit, and the output in a file."""
import os
import pathlib
import signal
import subprocess
import time


class Done:
    """What became of a command. code is None if it ran past its time or could not be started."""

    def __init__(self, command, code, log, seconds, reason=""):
        self.command, self.code, self.log, self.seconds, self.reason = command, code, log, seconds, reason

    @property
    def ok(self):
        return self.code == 0

    def output(self):
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def why(self):
        """Why it is not ok, in a few words."""
        if self.reason:
            return self.reason
        if self.code is not None and self.code < 0:
            return f"ended by {signal.Signals(-self.code).name}"
        return f"exit code {self.code}"


class Runner:
    """Runs commands, none of them beyond the deadline of all."""

    def __init__(self, folder, minutes):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.deadline = time.monotonic() + 60 * minutes

    def left(self):
        return self.deadline - time.monotonic()

    def run(self, name, command, seconds, environment=None, cwd=None):
        """The output goes to the log file called name."""
        command = [str(part) for part in command]
        log = self.folder / (name + ".log")
        start = time.monotonic()
        limit = min(seconds, self.left())
        if limit <= 1:
            log.write_text("")
            return Done(command, None, log, 0.0, "no time left")
        with open(log, "wb") as out:
            try:
                # A group of its own, so that what a command starts ends with it.
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    env=dict(os.environ, **(environment or {})),
                    cwd=cwd,
                    start_new_session=True,
                )
            except OSError as error:
                return Done(command, None, log, 0.0, f"cannot be started: {error.strerror}")
            try:
                code, reason = process.wait(timeout=limit), ""
            except BaseException as error:  # an interrupt, too, must not leave it running
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if not isinstance(error, subprocess.TimeoutExpired):
                    raise
                code, reason = None, f"ended after {limit:.0f} s"
        return Done(command, code, log, time.monotonic() - start, reason)
