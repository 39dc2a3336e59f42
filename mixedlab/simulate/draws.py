r"""Random numbers that stay with their place when a parameter moves.

A reader who drags a slider should see the *parameter's* effect and not a new sample. So every
number here is a function of the seed, of what it is for, and of its place in the data
("patient 7 of hospital 3"), and of nothing else: change a variance, add a hospital, give each
hospital more patients, and all numbers that were there before are still there.

A stream that is read from start to end cannot do that, so the numbers come from a counter-based
generator. With the mixing function ``m`` of SplitMix64 and its odd constant ``g``, the hash of
place ``(i, j, ...)`` is

.. math:: h_0 = \text{key(seed, role)}, \qquad h_{k} = m(h_{k-1} + g \cdot (i_k + 1)),

which for one index is the SplitMix64 sequence itself. The top 53 bits make a uniform number, and
every other distribution is its quantile function at that number. Integer arithmetic modulo 2^64
is the same on every platform and in every version of numpy.

References
----------
Steele, Lea and Flood (2014), "Fast splittable pseudorandom number generators", OOPSLA.
Salmon, Moraes, Dror and Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", SC11.
Wichura (1988), "Algorithm AS 241: the percentage points of the normal distribution".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from zlib import crc32

import numpy as np
from numpy.typing import ArrayLike, NDArray

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
MAX_SEED = 2**63 - 1
_FEW = 40.0  # counts are found by adding probabilities up where their means are below
_MOST_STEPS = 200  # in which the mean's Poisson probabilities add up to 1, to the last digit


def mix(h: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's mixing function: a bijection in which each input bit moves half the output."""
    h = (h ^ (h >> np.uint64(30))) * _MIX_1
    h = (h ^ (h >> np.uint64(27))) * _MIX_2
    return h ^ (h >> np.uint64(31))


class Draws:
    """Random numbers by role and place.

    Parameters
    ----------
    seed : int, 0 to 2**63 - 1

    Examples
    --------
    >>> import numpy as np
    >>> import mixedlab as ml
    >>> draws = ml.simulate.Draws(1)
    >>> few, many = draws.normal("hospital", np.arange(3)), draws.normal("hospital", np.arange(9))
    >>> bool(np.all(few == many[:3]))
    True

    Every method takes the role of the number (``"hospital"``) and index arrays that broadcast
    against each other, such as the hospital and the number of the patient in it.
    """

    def __init__(self, seed: int) -> None:
        self.seed = _checked(seed)
        self._first = np.array([self.seed], dtype=np.uint64)

    @classmethod
    def of_many(cls, seeds: Sequence[int]) -> Draws:
        """The draws of many seeds at once: every array gains a first axis, one place a seed."""
        many = object.__new__(cls)
        many.seed = [_checked(seed) for seed in seeds]
        many._first = np.array(many.seed, dtype=np.uint64)
        return many

    def uniform(self, role: str, *index: ArrayLike) -> NDArray[np.float64]:
        """Numbers strictly between 0 and 1, one for each place."""
        places = [np.atleast_1d(i).astype(np.uint64) for i in index]
        h = mix(self._first)
        if isinstance(self.seed, list):
            h = h.reshape(-1, *(1,) * max((i.ndim for i in places), default=0))
        for i in (np.array([crc32(role.encode())], dtype=np.uint64), *places):
            h = mix(h + (i + np.uint64(1)) * _GAMMA)
        return ((h >> np.uint64(11)).astype(float) + 0.5) * 2.0**-53

    def normal(self, role: str, *index: ArrayLike) -> NDArray[np.float64]:
        """Standard normal numbers."""
        return normal_quantile(self.uniform(role, *index))

    def bernoulli(self, role: str, p: ArrayLike, *index: ArrayLike) -> NDArray[np.int64]:
        """0 or 1, where 1 has probability ``p``; a 1 stays a 1 when ``p`` rises."""
        return (self.uniform(role, *index) < p).astype(np.int64)

    def binomial(
        self, role: str, n: ArrayLike, p: ArrayLike, *index: ArrayLike
    ) -> NDArray[np.int64]:
        """Successes in ``n`` trials of probability ``p``."""
        u, n, p = np.broadcast_arrays(self.uniform(role, *index), n, p)
        inside = np.clip(p, 1e-300, 1 - 1e-16)
        if n.max(initial=0) <= _FEW:
            size, odds = n.ravel(), (inside / (1 - inside)).ravel()
            none = ((1 - inside) ** n).ravel()
            count = _search(u.ravel(), none, lambda k, at: odds[at] * (size[at] - k) / (k + 1))
            count = count.reshape(u.shape)
        else:
            from scipy.special import bdtr, bdtrik

            count = _step_back(bdtrik(u, n, inside), u, lambda k: bdtr(k, n, inside))
        return np.where(p <= 0, 0, np.where(p >= 1, n, count)).astype(np.int64)

    def poisson(self, role: str, mean: ArrayLike, *index: ArrayLike) -> NDArray[np.int64]:
        """Poisson counts; a count never falls when its mean rises."""
        u, mean = np.broadcast_arrays(self.uniform(role, *index), mean)
        few = mean <= _FEW
        small = np.maximum(mean[few], 0.0)
        count = np.zeros(u.shape, dtype=np.int64)
        count[few] = _search(u[few], np.exp(-small), lambda k, at: small[at] / (k + 1))
        if not few.all():
            from scipy.special import pdtr, pdtrik

            u, mean = u[~few], mean[~few]
            count[~few] = _step_back(pdtrik(u, mean), u, lambda k: pdtr(k, mean))
        return count

    def gamma(self, role: str, shape: ArrayLike, *index: ArrayLike) -> NDArray[np.float64]:
        """Gamma numbers of the given shape and scale 1."""
        from scipy.special import gammaincinv

        return gammaincinv(shape, self.uniform(role, *index))

    def beta(self, role: str, a: ArrayLike, b: ArrayLike, *index: ArrayLike) -> NDArray[np.float64]:
        """Beta(a, b) numbers."""
        from scipy.special import betaincinv

        return betaincinv(a, b, self.uniform(role, *index))


def _checked(seed: int) -> int:
    try:
        valid = int(seed) == seed and 0 <= seed <= MAX_SEED
    except (TypeError, ValueError, OverflowError):
        valid = False
    if not valid:
        raise ValueError(f"`seed` is {seed!r}; give a whole number from 0 to 2**63 - 1.")
    return int(seed)


def _search(
    u: NDArray, first: NDArray, ratio: Callable[[int, NDArray], NDArray]
) -> NDArray[np.int64]:
    """Smallest whole k with cdf(k) >= u, by adding probabilities up from that of 0.

    ``first`` is the probability of 0, ``ratio(k, at)`` that of k + 1 over that of k at the places
    ``at``; all arrays are flat.
    """
    count, at, term = np.zeros(u.size, dtype=np.int64), np.arange(u.size), first
    total = term
    for k in range(_MOST_STEPS):
        above = u > total
        at, u, term, total = at[above], u[above], term[above], total[above]
        if not at.size:
            break
        count[at] = k + 1
        term = term * ratio(k, at)
        total = total + term
    return count


def _step_back(
    real_quantile: NDArray, u: NDArray, cdf: Callable[[NDArray], NDArray]
) -> NDArray[np.float64]:
    """Smallest whole k with cdf(k) >= u, from the quantile of the continued distribution."""
    k = np.ceil(np.nan_to_num(real_quantile, nan=0.0))
    below = np.maximum(k - 1, 0)
    return np.where(cdf(below) >= u, below, k)


# Wichura's rational approximations, constant term first; relative error about 1e-16.
_CENTRE = (
    (3.387132872796366608, 133.14166789178437745, 1971.5909503065514427, 13731.693765509461125,
     45921.953931549871457, 67265.770927008700853, 33430.575583588128105, 2509.0809287301226727),
    (1.0, 42.313330701600911252, 687.1870074920579083, 5394.1960214247511077,
     21213.794301586595867, 39307.89580009271061, 28729.085735721942674, 5226.495278852545925),
)  # fmt: skip
_MIDDLE = (
    (1.42343711074968357734, 4.6303378461565452959, 5.7694972214606914055, 3.64784832476320460504,
     1.27045825245236838258, 0.24178072517745061177, 0.0227238449892691845833,
     7.7454501427834140764e-4),
    (1.0, 2.05319162663775882187, 1.6763848301838038494, 0.68976733498510000455,
     0.14810397642748007459, 0.0151986665636164571966, 5.475938084995344946e-4,
     1.05075007164441684324e-9),
)  # fmt: skip
_TAIL = (
    (6.6579046435011037772, 5.4637849111641143699, 1.7848265399172913358, 0.29656057182850489123,
     0.026532189526576123093, 0.0012426609473880784386, 2.71155556874348757815e-5,
     2.01033439929228813265e-7),
    (1.0, 0.59983220655588793769, 0.13692988092273580531, 0.0148753612908506148525,
     7.868691311456132591e-4, 1.8463183175100546818e-5, 1.4215117583164458887e-7,
     2.04426310338993978564e-15),
)  # fmt: skip


def normal_quantile(p: ArrayLike) -> NDArray[np.float64]:
    """Quantile of the standard normal at ``p`` strictly between 0 and 1, without scipy.

    Wichura's AS 241: three rational approximations, for the centre and two parts of the tail.
    """
    shape, p = np.shape(p), np.atleast_1d(np.asarray(p, dtype=float))
    q = p - 0.5
    centre = np.abs(q) <= 0.425
    z = q * _ratio(_CENTRE, 0.180625 - np.where(centre, q, 0.0) ** 2)
    r = np.sqrt(-np.log(np.minimum(p, 1 - p)[~centre]))
    tail = np.where(r <= 5, _ratio(_MIDDLE, r - 1.6), _ratio(_TAIL, r - 5.0))
    z[~centre] = np.copysign(tail, q[~centre])
    return z.reshape(shape)


def _ratio(coefs: tuple[tuple[float, ...], tuple[float, ...]], x: NDArray) -> NDArray:
    above, below = coefs
    num, den = np.full_like(x, above[-1]), np.full_like(x, below[-1])
    for a, b in zip(above[-2::-1], below[-2::-1], strict=True):
        num = num * x + a
        den = den * x + b
    return num / den
