import torch

from prune_kit.randomness import derived_seed, generator, seeded


def test_seeds_differ_by_seed_purpose_and_number() -> None:
    seeds = {derived_seed(s, p, n) for s in (0, 1) for p in ("epoch", "dropout") for n in (0, 1)}
    assert len(seeds) == 8
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_the_global_generator_is_left_as_it_was() -> None:
    before = torch.get_rng_state()
    with seeded(3, "initialisation"):
        inside = torch.rand(2)
    assert torch.equal(torch.get_rng_state(), before)
    with seeded(3, "initialisation"):
        assert torch.equal(torch.rand(2), inside)


def test_a_generator_repeats_itself() -> None:
    assert torch.equal(
        torch.rand(3, generator=generator(1, "a")), torch.rand(3, generator=generator(1, "a"))
    )
