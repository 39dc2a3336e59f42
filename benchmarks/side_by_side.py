"""Time contestants side by side, in one run on one machine, and write a table.

    from side_by_side import RSession, alternate, machine, peak_memory, write_table

    seconds = alternate({"mixedlab": lambda: ml.lmm(f, df), "statsmodels": fit_sm}, repeats=7)
    with RSession() as r:                       # where `Rscript` is there: RSession.available()
        r.run("library(lme4); d <- read.csv('sleepstudy.csv')")
        seconds = alternate({"mixedlab": fit, "lme4": r.contestant("lmer(f, d)")})
    megabytes = peak_memory("import mixedlab as ml; ml.lmm(...)")

The contestants take turns, so that a change of the machine's pace meets all of them; the median
is reported, and only ratios within one run are claimed.
"""

from __future__ import annotations

import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

Contestant = Callable[[], object]
"""Does its work once; may return its own time in seconds (a float), as an R contestant does."""

RESULTS = Path(__file__).parent / "results"


def alternate(
    contestants: Mapping[str, Contestant],
    *,
    repeats: int = 5,
    warm_up: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Median seconds of each contestant over ``repeats`` rounds in which they take turns.

    With ``clock=time.process_time`` (and ``RSession(clock="cpu")``) it is processor time, which
    other work on the machine disturbs less.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for turn in range(warm_up + repeats):
        for name, work in contestants.items():
            start = clock()
            own = work()
            elapsed = own if isinstance(own, float) else clock() - start
            if turn >= warm_up:
                times[name].append(elapsed)
    return {name: statistics.median(taken) for name, taken in times.items()}


def looped(
    work: Callable[[], object], times: int, clock: Callable[[], float] = time.perf_counter
) -> Contestant:
    """A contestant that does ``work`` several times and reports seconds for one: short work."""

    def loop() -> float:
        start = clock()
        for _ in range(times):
            work()
        return (clock() - start) / times

    return loop


def peak_memory(code: str) -> float:
    """Peak resident memory, in megabytes, of a fresh Python that runs ``code``."""
    report = "\nimport resource as _r; print('PEAK', _r.getrusage(_r.RUSAGE_SELF).ru_maxrss)"
    # Linux keeps the peak of the process that forked; a shell in between starts from nothing.
    done = subprocess.run(
        ["sh", "-c", '"$0" -c "$1"', sys.executable, code + report],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return int(done.stdout.rsplit("PEAK", 1)[1]) / 1024


def serve(prepare: Callable[[], Contestant | None]) -> None:
    """In a `Server`'s process: prepare a work, then time it as often as standard input asks."""
    real = os.dup(1)
    os.dup2(2, 1)  # what programs print is none of the answers
    with os.fdopen(real, "w", buffering=1) as answers:
        work = prepare()
        answers.write(f"READY {int(work is not None)}\n")
        for line in sys.stdin:
            start = time.process_time()
            for _ in range(int(line)):
                result = work()
            seconds = (time.process_time() - start) / int(line)
            answers.write(f"TIME {seconds} {result}\n")


class Server:
    """A process of its own that prepares one work and does it when asked; see `serve`.

    Parameters
    ----------
    command
        Arguments of this Python.
    environment
        What is set besides this process's.
    limit : float
        Seconds to wait for an answer.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], limit: float = 600.0
    ) -> None:
        self.limit, self.errors = limit, tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            [sys.executable, *command],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.ready = self._answer()[1] == "1"
        if not self.ready:
            self.close()

    def _answer(self) -> list[str]:
        late = threading.Timer(self.limit, self.process.kill)
        late.start()
        line = self.process.stdout.readline()
        timed_out = not late.is_alive()
        late.cancel()
        if line:
            return line.split()
        self.close()
        if timed_out:
            raise TimeoutError(f"over {self.limit:.0f} s")
        self.errors.seek(0)
        raise RuntimeError((self.errors.read().strip().splitlines() or ["it died"])[-1][:100])

    def seconds(self, times: int) -> float:
        """Processor seconds of one work, of which ``times`` are done."""
        self.process.stdin.write(f"{times}\n")
        self.process.stdin.flush()
        _, seconds, self._result = self._answer()
        return float(seconds)

    def result(self) -> float:
        """What the work last returned."""
        return float(self._result)

    @property
    def megabytes(self) -> float:
        """Peak memory of the process so far."""
        return peak_of(self.process.pid)

    def close(self) -> None:
        self.process.communicate()


def peak_of(pid: int) -> float:
    """Peak resident memory, in megabytes, of a process that lives (nan where /proc is not)."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return float("nan")
    peak = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
    return int(peak.split()[1]) / 1024


class RSession:
    """One R process that keeps its variables between expressions and times them itself."""

    _LOOP = (
        'now <- function() NOW; input <- file("stdin"); open(input);'
        "while (length(line <- readLines(input, 1)) > 0) {"
        " start <- now();"
        " value <- tryCatch({ suppressMessages(eval(parse(text = line), globalenv())); 'ok' },"
        "   error = function(e) paste('error:', conditionMessage(e)));"
        " cat('TIME', now() - start, gsub('\\n', ' ', value),"
        "   '\\n'); flush(stdout()) }"
    )

    @staticmethod
    def available(*packages: str) -> bool:
        """Whether ``Rscript`` and these packages are there."""
        if shutil.which("Rscript") is None:
            return False
        names = ", ".join(f"'{p}'" for p in packages)
        code = f"q(status = !all(sapply(c({names}), requireNamespace, quietly = TRUE)))"
        return subprocess.run(["Rscript", "-e", code], capture_output=True).returncode == 0

    def __init__(self, clock: str = "wall") -> None:
        self._now = {"wall": "as.numeric(Sys.time())", "cpu": "sum(proc.time()[1:2])"}[clock]

    def __enter__(self) -> RSession:
        self._process = subprocess.Popen(
            ["Rscript", "--vanilla", "-e", self._LOOP.replace("NOW", self._now)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
        )
        self.printed: list[str] = []
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.stdin.close()
        self._process.wait(timeout=30)

    @property
    def megabytes(self) -> float:
        """Peak memory of the process so far."""
        return peak_of(self._process.pid)

    def run(self, expression: str) -> float:
        """Evaluate an expression (one line); return the seconds R took. Prints go to `printed`."""
        self._process.stdin.write(" ".join(expression.splitlines()) + "\n")
        self.printed = []
        for line in self._process.stdout:
            if line.startswith("TIME "):
                _, seconds, status = line.split(" ", 2)
                if status.startswith("error"):
                    raise RuntimeError(f"R: {status.strip()} in {expression!r}")
                return float(seconds)
            self.printed.append(line.rstrip())
        raise RuntimeError("R stopped")

    def contestant(self, expression: str, times: int = 1) -> Contestant:
        """A contestant that evaluates ``expression``, ``times`` over, timed by R for one."""
        code = f"for (.i in seq_len({times})) {{ {expression} }}" if times > 1 else expression
        return lambda: self.run(code) / times


def machine() -> str:
    """The machine and the versions that the figures hold for, in one line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        cpu = models[0].split(":", 1)[1].strip() if models else cpu
    packages = []
    for name in ("numpy", "scipy", "pandas", "statsmodels"):
        try:
            packages.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    threads = os.environ.get("OPENBLAS_NUM_THREADS", "all")
    return (
        f"{cpu}, {os.cpu_count()} cores, {platform.system()}, Python "
        f"{platform.python_version()}, {', '.join(packages)}; BLAS threads: {threads}"
    )


def write_table(
    name: str,
    title: str,
    header: Sequence[str],
    rows: Sequence[Sequence[object]],
    notes: Sequence[str] = (),
) -> Path:
    """Write ``results/<name>.md``: title, the machine, a table, notes."""
    lines = [f"# {title}", "", f"Machine: {machine()}.", ""]
    lines += table(header, rows)
    for note in notes:
        lines += ["", note]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.md"
    path.write_text("\n".join(lines) + "\n")
    return path


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """The lines of a Markdown table; floats at three digits."""
    cells = [[f"{c:.3g}" if isinstance(c, float) else str(c) for c in row] for row in rows]
    return [
        "| " + " | ".join(header) + " |",
        "|" + "---|" * len(header),
        *("| " + " | ".join(row) + " |" for row in cells),
    ]
