"""Families in populations that drifted apart: genotypes and a heritable trait."""

from __future__ import annotations

from typing import Annotated

import numpy as np

from mixedlab.simulate.draws import Draws
from mixedlab.simulate.scenario import Parameter, Share, Simulated, scenario


@scenario
def relatives(
    n_families: Annotated[int, Parameter("families", low=1)] = 100,
    n_siblings: Annotated[int, Parameter("full siblings a family", low=1)] = 2,
    n_snps: Annotated[int, Parameter("SNPs", low=1)] = 500,
    n_populations: Annotated[int, Parameter("populations", low=1)] = 2,
    fst: Annotated[float, Parameter("share of variance between populations", 0, 0.99)] = 0.05,
    heritability: Share = 0.5,
    n_causal: Annotated[int, Parameter("causal SNPs", low=0)] = 50,
    sd_population: Annotated[float, Parameter("sds of the trait", low=0)] = 0.3,
    missing: Annotated[float, Parameter("share of missing calls", 0, 0.9)] = 0.0,
    *,
    seed: int = 1,
) -> Simulated:
    """Simulate genotypes (0, 1, 2) of siblings and a trait with many small causes.

    SNP s has frequency ``p_s`` uniform on 0.1 to 0.9 among the ancestors; in population k it is
    ``Beta(p_s (1-F)/F, (1-p_s) (1-F)/F)`` with F = fst (Balding and Nichols 1995, Genetica
    96:3). Parents draw alleles from their population; children draw one from each parent. The
    trait is ``sqrt(h2) * g + sqrt(1 - h2) * e + m_k``: g sums the causal SNPs with normal effects
    and is scaled to variance 1 in an unstructured population, m_k is the population's
    environment, which is confounded with ancestry as in cryptic structure.

    Returns
    -------
    Simulated
        Columns ``family``, ``population``, ``trait``. Matrix ``genotype`` (individuals by SNPs;
        nan where a call is missing). Truth: ``frequency`` (SNPs), ``causal`` (their numbers),
        ``effects`` (of one allele), ``breeding_value``, ``heritability``, and ``relatedness``
        (individuals by individuals): the expected correlation of alleles relative to the
        ancestors, times 2: ``1 + F`` with oneself, ``2 F`` in one population, ``1/2 (1 + 3 F)``
        between siblings.

    Examples
    --------
    >>> import mixedlab as ml
    >>> ml.simulate.relatives(seed=1).to_frame().head(3).round(2)
       family  population  trait
    0       0           0  -0.12
    1       0           0   0.24
    2       1           1  -0.51
    """
    draws = Draws(seed)
    snps, n_causal = np.arange(n_snps), min(n_causal, n_snps)
    ancestral = 0.1 + 0.8 * draws.uniform("frequency", snps)
    population_of = np.arange(n_families) % n_populations
    if fst > 0:
        spread = (1 - fst) / fst
        by_population = draws.beta(
            "drift", ancestral * spread, (1 - ancestral) * spread,
            np.arange(n_populations)[:, None], snps,
        )  # fmt: skip
    else:
        by_population = np.broadcast_to(ancestral, (n_populations, n_snps))
    # parents: family x parent x chromosome x SNP
    f, parent, chromosome = np.ogrid[:n_families, :2, :2]
    frequency = by_population[population_of][:, None, None]
    parents = draws.bernoulli(
        "allele", frequency, f[..., None], parent[..., None], chromosome[..., None], snps
    )
    # children: family x sibling x parent x SNP, which of the parent's two chromosomes
    sib = np.arange(n_siblings)[:, None, None]
    picks = draws.bernoulli(
        "meiosis", 0.5, np.arange(n_families)[:, None, None, None], sib,
        np.arange(2)[:, None], snps,
    )  # fmt: skip
    from_parent = np.where(picks == 0, parents[:, None, :, 0], parents[:, None, :, 1])
    genotype = from_parent.sum(axis=2).reshape(-1, n_snps).astype(float)

    family = np.repeat(np.arange(n_families), n_siblings)
    population = population_of[family]
    sibling = np.tile(np.arange(n_siblings), n_families)
    causal = np.sort(np.argsort(draws.uniform("causal", snps), kind="stable")[:n_causal])
    effects = draws.normal("effect", causal)
    variance = np.sum(effects**2 * 2 * ancestral[causal] * (1 - ancestral[causal]))
    effects = effects * np.sqrt(heritability / variance) if n_causal else effects
    value = (genotype[:, causal] - 2 * ancestral[causal]) @ effects
    environment = sd_population * draws.normal("population", np.arange(n_populations))
    e = np.sqrt(1 - heritability) * draws.normal("person", family, sibling)
    trait = value + e + environment[population]
    if missing > 0:
        gone = draws.uniform("missing", family[:, None], sibling[:, None], snps) < missing
        genotype = np.where(gone, np.nan, genotype)

    same_family = family[:, None] == family
    relatedness = 2 * fst * (population[:, None] == population) * 1.0
    relatedness[same_family] = 0.5 * (1 + 3 * fst)
    np.fill_diagonal(relatedness, 1 + fst)
    return Simulated(
        "relatives",
        {"family": family, "population": population, "trait": trait},
        truth={
            "frequency": ancestral,
            "causal": causal,
            "effects": effects,
            "breeding_value": value,
            "heritability": heritability,
            "relatedness": relatedness,
        },
        units={"trait": "sds of the trait without structure"},
        matrices={"genotype": genotype},
    )
