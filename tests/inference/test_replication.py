"""The same numbers whatever computes them; failures counted; a clean stop."""

import os
import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

from mixedlab.errors import MixedlabError
from mixedlab.inference.replication import _can_be_sent, generator, replicate


def draw(rng):
    return {"mean": rng.normal(size=5).mean(), "first": rng.integers(100)}


def often_fails(rng):
    value = rng.random()
    if value < 0.3:
        raise ValueError(f"too small: {value:.2f}")
    return value


def always_fails(rng):
    raise RuntimeError("no luck")


@pytest.fixture(scope="module")
def expected():
    return [draw(generator(7, i)) for i in range(450)]


def check(result, expected):
    assert result.n_failed == 0
    assert list(result.values) == list(range(450))
    assert list(result.values.values()) == expected


def test_process_pool_by_default(expected):
    check(replicate(draw, 450, 7, progress=False), expected)


def test_threads(expected):
    with ThreadPoolExecutor(3) as executor:
        check(replicate(draw, 450, 7, executor, progress=False), expected)
        assert executor.submit(int).result() == 0  # a given executor stays open


def test_a_study_that_no_fresh_process_could_read(expected):
    check(replicate(lambda rng: draw(rng), 450, 7, progress=False), expected)


def test_this_process_where_there_can_be_no_other(expected, monkeypatch):
    monkeypatch.setattr("multiprocessing.get_start_method", lambda: "spawn")
    process = replicate(lambda rng: {**draw(rng), "pid": os.getpid()}, 450, 7, progress=False)
    assert set(process.table.pop("pid")) == {os.getpid()}
    assert not _can_be_sent(lambda rng: rng)
    assert _can_be_sent(draw)
    assert _can_be_sent(partial(draw))
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    check(replicate(draw, 450, 7, progress=False), expected)


def test_one_worker(expected):
    with ProcessPoolExecutor(1) as executor:
        check(replicate(draw, 450, 7, executor, progress=False), expected)


def test_dask_local_cluster(expected):
    distributed = pytest.importorskip("distributed")
    # Processes, as on a cluster; the study travels by pickle.
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        check(
            replicate(lambda rng: draw(rng), 450, 7, client.get_executor(), progress=False),
            expected,
        )


def test_a_longer_run_starts_with_the_shorter_one():
    short, long = (replicate(often_fails_not, n, 3, progress=False).values for n in (20, 60))
    assert {k: long[k] for k in short} == short


def often_fails_not(rng):
    return rng.random()


def test_failures_are_kept_and_counted():
    with pytest.warns(UserWarning, match=r"of 200 replicates failed .*ValueError: too small"):
        result = replicate(often_fails, 200, 1, progress=False)
    assert 30 < result.n_failed < 90
    assert len(result.values) + result.n_failed == 200
    assert all(message.startswith("ValueError: too small") for message in result.failures.values())
    assert result.table["value"].min() >= 0.3
    assert list(result.table.index) == list(result.values)


def test_when_all_fail_the_first_error_is_told():
    with pytest.raises(MixedlabError, match=r"All 5 replicates failed.*RuntimeError: no luck"):
        replicate(always_fails, 5, 1, progress=False)


def test_n_must_be_positive():
    with pytest.raises(MixedlabError, match="1 or more"):
        replicate(draw, 0, 1)


def test_table_and_summary():
    result = replicate(draw, 400, 2, progress=False)
    summary = result.summary()
    assert abs(summary.loc["mean", "mean"]) < 4 * summary.loc["mean", "mc_error"]
    assert summary.loc["mean", "sd"] == pytest.approx(np.sqrt(1 / 5), rel=0.15)
    arrays = replicate(lambda rng: rng.random(3), 4, 2, progress=False)
    assert arrays.table.shape == (4, 3)


def test_progress_is_shown(capsys):
    replicate(lambda rng: 1, 3, 1)
    assert "3/3" in capsys.readouterr().err


def test_interrupt_in_this_process_returns_what_is_done(monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 1)

    def study(rng):
        if study.calls == 4:
            raise KeyboardInterrupt
        study.calls += 1
        return study.calls

    study.calls = 0
    with pytest.warns(UserWarning, match="Stopped after 4 of 10"):
        result = replicate(study, 10, 1, progress=False)
    assert result.interrupted
    assert list(result.values.values()) == [1, 2, 3, 4]
    assert "stopped early" in repr(result)


def test_interrupt_of_a_process_pool_leaves_no_process(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    script = tmp_path / "interrupted.py"
    script.write_text(
        textwrap.dedent("""
        import multiprocessing, os, pathlib, signal, threading, time, warnings
        from mixedlab.inference.replication import replicate

        DONE = pathlib.Path(__file__).with_name("done")

        def study(rng):
            time.sleep(0.02)
            with DONE.open("a") as file:
                file.write(".")
            return rng.random()

        def interrupt():
            while not DONE.exists() or DONE.stat().st_size < 200:
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGINT)

        if __name__ == "__main__":
            warnings.simplefilter("ignore")
            # A shell's background jobs start with SIGINT ignored.
            signal.signal(signal.SIGINT, signal.default_int_handler)
            threading.Thread(target=interrupt, daemon=True).start()
            result = replicate(study, 2_000, 1, progress=False)
            assert result.interrupted and 0 < len(result.values) < 2_000
            print("left", len(multiprocessing.active_children()))
        """)
    )
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=60, env=os.environ
    )
    assert done.stdout.strip() == "left 0", done.stderr
    assert "Traceback" not in done.stderr
    assert signal.getsignal(signal.SIGINT) is before


class InBulk:
    """A study that squares a draw, all at once; it refuses negative ones."""

    at_once = 4

    def __init__(self):
        self.sizes = []

    def __call__(self, rng):
        return rng.normal() ** 2

    def many(self, generators):
        self.sizes.append(len(generators))
        draws = [rng.normal() for rng in generators]
        return [d**2 if d > 0 else MixedlabError("negative") for d in draws]


def test_a_study_says_how_it_runs_in_bulk():
    study = InBulk()
    with pytest.warns(UserWarning, match="replicates failed"):
        found = replicate(study, 10, seed=5, progress=False)
    assert study.sizes == [4, 4, 2]
    draws = {k: generator(5, k).normal() for k in range(10)}
    assert found.values == {k: d**2 for k, d in draws.items() if d > 0}
    assert found.failures == {k: "negative" for k, d in draws.items() if d <= 0}
