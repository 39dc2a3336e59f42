"""Repeat a random study many times, on whatever computes, with the same numbers.

Replicate ``i`` draws from its own generator, made of the seed and ``i`` alone. So the results
do not depend on how many workers there are or which of them runs what: one process, a pool,
a Dask cluster or MPI give the same table.

To move to a cluster one changes the executor and nothing else::

    ml.replicate(study, 10_000, seed=1)                                    # this machine
    ml.replicate(study, 10_000, seed=1, executor=client.get_executor())    # Dask's Client
    ml.replicate(study, 10_000, seed=1, executor=MPIPoolExecutor())        # mpi4py.futures
"""

from __future__ import annotations

import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixedlab.errors import MixedlabError, ReplicationWarning

if TYPE_CHECKING:
    import pandas as pd

Study = Callable[[np.random.Generator], Any]
# Of a study that runs in bulk: numbers held at once, and replicates between two strokes of the bar.
_MOST_NUMBERS, _MOST_AT_ONCE = 20_000_000, 1000
# A chunk is sent to a worker as one task: large enough to hide the sending, small enough that
# stopping, which waits for running chunks, is quick.
_CHUNKS, _LARGEST_CHUNK = 200, 50


@contextmanager
def only_own_warnings() -> Iterator[None]:
    """Keep quiet what fits of simulated responses warn of: it is not about the reader's data."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", ReplicationWarning)
        yield


@dataclass(frozen=True)
class Replicates:
    """The outcomes of a replicated study.

    Attributes
    ----------
    values : dict of int to object
        What the study returned, by number of the replicate; failed ones are not in it.
    failures : dict of int to str
        Kind and message of the error, by number of the replicate.
    n : int
        Number of replicates asked for.
    seed : int
    interrupted : bool
        Whether it was stopped before all were done.
    """

    values: dict[int, Any]
    failures: dict[int, str]
    n: int
    seed: int
    interrupted: bool = False

    @property
    def n_failed(self) -> int:
        """Number of replicates that raised an error."""
        return len(self.failures)

    @property
    def table(self) -> pd.DataFrame:
        """One row a replicate, indexed by its number; a number becomes the column ``value``."""
        import pandas as pd

        rows = [
            v if isinstance(v, dict | pd.Series) or np.ndim(v) == 1 else {"value": v}
            for v in self.values.values()
        ]
        return pd.DataFrame(rows, index=pd.Index(list(self.values), name="replicate"))

    def summary(self) -> pd.DataFrame:
        """Mean and standard deviation of each column, and the Monte Carlo error of the mean."""
        import pandas as pd

        table = self.table
        sd = table.std()
        return pd.DataFrame(
            {"mean": table.mean(), "sd": sd, "mc_error": sd / np.sqrt(len(table)), "n": len(table)}
        )

    def __repr__(self) -> str:
        stopped = ", stopped early" if self.interrupted else ""
        return (
            f"<Replicates: {len(self.values)} of {self.n} done, {self.n_failed} failed{stopped}, "
            f"seed {self.seed}>"
        )


def replicate(
    study: Study,
    n: int,
    seed: int,
    executor: Executor | None = None,
    *,
    progress: bool = True,
) -> Replicates:
    """Run ``study(rng)`` n times, each with its own random generator.

    Parameters
    ----------
    study : callable
        Takes a ``numpy.random.Generator`` and returns a number, a dict or an array. All its
        randomness must come from that generator. A study may say how it runs in bulk: a method
        ``many`` takes a list of at most ``at_once`` generators and returns what the study gives
        for each, or an error in its place; it then runs in this process unless an executor is
        given.
    n : int
        Number of replicates.
    seed : int
        The same seed gives the same numbers, whatever the executor.
    executor : concurrent.futures.Executor, optional
        Where to compute: any executor, which stays open. By default a pool of processes, or
        this process where there can be no other (in the browser, or when a study typed into a
        notebook cannot be sent to one).
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Replicates
        A replicate that raises is kept in ``failures`` and counted. Ctrl-C (the notebook's stop
        button) stops and returns what is done.

    Raises
    ------
    MixedlabError
        When every replicate failed; the first error is the cause named.

    Examples
    --------
    >>> import mixedlab as ml
    >>> def study(rng):
    ...     return rng.normal(size=25).mean()
    ...
    >>> found = ml.replicate(study, 200, seed=1, progress=False)
    >>> float(found.table["value"].std().round(2))
    0.19
    """
    if n < 1:
        raise MixedlabError(f"n is the number of replicates, 1 or more, not {n}.")
    values: dict[int, Any] = {}
    failures: dict[int, str] = {}
    interrupted = False
    with _bar(n, progress) as advance:
        size = study.at_once if hasattr(study, "many") else 0
        outcomes = _outcomes(study, _chunks(n, size), int(seed), executor)
        try:
            for chunk in outcomes:
                for number, value, error in chunk:
                    if error is None:
                        values[number] = value
                    else:
                        failures[number] = error
                advance(len(chunk))
        except KeyboardInterrupt:
            interrupted = True
        finally:
            outcomes.close()
    if interrupted:
        done = len(values) + len(failures)
        message = f"Stopped after {done} of {n} replicates."
        warnings.warn(message, ReplicationWarning, stacklevel=2)
    elif failures and not values:
        raise MixedlabError(f"All {n} replicates failed. The first: {failures[min(failures)]}")
    elif failures:
        warnings.warn(
            f"{len(failures)} of {n} replicates failed and are left out; see .failures. "
            f"The first: {failures[min(failures)]}",
            ReplicationWarning,
            stacklevel=2,
        )
    return Replicates(
        dict(sorted(values.items())), dict(sorted(failures.items())), n, int(seed), interrupted
    )


def most_at_once(n: int) -> int:
    """How many responses of n rows to hold at once."""
    return max(1, min(_MOST_AT_ONCE, _MOST_NUMBERS // n))


def generator(seed: int, number: int) -> np.random.Generator:
    """The random generator of one replicate."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(number,)))


_received: Study | None = None


def _receive(study: Study) -> None:
    """Start of a worker of our own pool: the study comes once, not with every chunk.

    Ctrl-C reaches every process of a terminal; the parent alone decides what it means.
    """
    import signal

    global _received
    _received = study
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run_received(seed: int, numbers: Sequence[int]) -> list[tuple[int, Any, str | None]]:
    return _run(_received, seed, numbers)


def _run(study: Study, seed: int, numbers: Sequence[int]) -> list[tuple[int, Any, str | None]]:
    """What a worker does: a chunk of replicates, with errors in words."""
    if hasattr(study, "many"):
        found = study.many([generator(seed, number) for number in numbers])
        return [
            (number, None, str(value)) if isinstance(value, Exception) else (number, value, None)
            for number, value in zip(numbers, found, strict=True)
        ]
    outcomes = []
    for number in numbers:
        try:
            outcomes.append((number, study(generator(seed, number)), None))
        except Exception as error:  # any failure of the study is an outcome to be counted
            outcomes.append((number, None, f"{type(error).__name__}: {error}"))
    return outcomes


def _chunks(n: int, size: int = 0) -> list[range]:
    size = size or min(max(n // _CHUNKS, 1), _LARGEST_CHUNK)
    return [range(start, min(start + size, n)) for start in range(0, n, size)]


def _outcomes(
    study: Study, chunks: list[range], seed: int, executor: Executor | None
) -> Iterator[list[tuple[int, Any, str | None]]]:
    """Outcomes chunk by chunk, as they are done; cancels what is left when closed."""
    if executor is None and hasattr(study, "many"):
        for chunk in chunks:
            yield _run(study, seed, chunk)
        return
    own = _process_pool(study, len(chunks)) if executor is None else None
    pool = executor or own
    if pool is None:
        for chunk in chunks:
            for number in chunk:
                yield _run(study, seed, [number])
        return
    futures: list[Future] = []
    try:
        if own is not None:
            futures += [own.submit(_run_received, seed, chunk) for chunk in chunks]
        else:
            futures += [pool.submit(_run, study, seed, chunk) for chunk in chunks]
        for future in as_completed(futures):
            yield future.result()
    finally:
        for future in futures:
            future.cancel()
        if own is not None:
            own.shutdown(wait=True, cancel_futures=True)


def _process_pool(study: Study, n_tasks: int) -> Executor | None:
    """A pool of processes, or None where this process must do."""
    workers = min(os.cpu_count() or 1, n_tasks)
    if workers < 2 or sys.platform == "emscripten":
        return None
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_start_method

    # A forked process has the study already; any other must be able to read it.
    if get_start_method() != "fork" and not _can_be_sent(study):
        return None
    return ProcessPoolExecutor(workers, initializer=_receive, initargs=(study,))


def _can_be_sent(study: Study) -> bool:
    try:
        pickle.dumps(study)
    except Exception:  # lambdas and local functions
        return False
    return not _lives_in_a_session(study)


def _lives_in_a_session(study: Study) -> bool:
    """Whether a fresh process could not import the study: it was typed into a notebook."""
    while hasattr(study, "func"):  # functools.partial
        study = study.func
    module = getattr(study, "__module__", None)
    return module == "__main__" and not hasattr(sys.modules["__main__"], "__file__")


@contextmanager
def _bar(n: int, progress: bool) -> Iterator[Callable[[int], object]]:
    if not progress:
        yield lambda _: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=n, desc="replicates", unit="") as bar:
        yield bar.update
