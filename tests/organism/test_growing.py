"""Organisms of several sizes and budgets, held against a plain loop and against each other."""

from __future__ import annotations

import hashlib
from collections import Counter
from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from misdirection.errors import MisdirectionError
from misdirection.models import load_model
from misdirection.organism.build import OrganismSettings, new_model, optimisers_of, sized, world_batches
from misdirection.organism.data import World, alignment_chats, pretraining_chats
from misdirection.organism.domains import DOMAINS
from misdirection.organism.growing import grow, grow_all, read_grown
from misdirection.organism.judge import asked_about
from misdirection.organism.tokenizer import make_tokenizer

BEFORE = "f7d7d3dd9c6ddc939e841eb820feb949e59c1bffb8b69e49de229150a15dee7a"
"""SHA-256 of 200 dialogues of the world before it could have other domains."""

TINY = OrganismSettings(layers=2, width=16, hidden=32, heads=2, alignment_steps=2, batch=4)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(one: Path, other: Path) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_budget_is_the_same_alone_as_along_the_course(tmp_path: Path) -> None:
    along = grow(tmp_path / "along", (10, 5, 20), seed=3, settings=TINY)
    assert [one.steps for one in along] == [5, 10, 20]
    for one in along:
        (alone,) = grow(tmp_path / f"alone-{one.steps}", (one.steps,), seed=3, settings=TINY)
        assert same(one.path, alone.path)
        assert (alone.tokens, alone.loss) == (one.tokens, pytest.approx(one.loss))


def test_a_course_is_warm_up_constant_and_decay_as_a_plain_loop_has_it(tmp_path: Path) -> None:
    settings = OrganismSettings(**{**vars(TINY), "alignment_steps": 0})
    (grown,) = grow(tmp_path, (10,), seed=3, settings=settings)
    torch.manual_seed(3)
    tokenizer = make_tokenizer()
    model = new_model(tokenizer, settings)
    rate = 2e-2 * 6**0.5  # sqrt(96 / 16)
    matrices, rest = optimisers_of(model, rate)
    seen = list(islice(world_batches(tokenizer, 3, settings), 10))
    shares = [*((i + 1) / 20 for i in range(8)), 9 / 20 * (1 - 0.98 / 2), 10 / 20 * 0.02]
    for share, (ids, labels, _) in zip(shares, seen, strict=True):
        model(input_ids=ids, labels=labels).loss.backward()
        torch.nn.utils.clip_grad_norm_(rest.param_groups[0]["params"], 1.0)
        matrices.param_groups[0]["lr"], rest.param_groups[0]["lr"] = rate * share, rate * share / 3
        for optimiser in (matrices, rest):
            optimiser.step()
            optimiser.zero_grad()
    found = weights(grown.path)
    for name, weight in model.state_dict().items():
        torch.testing.assert_close(found[name], weight)
    assert grown.tokens == sum(int((ids > 0).sum()) for ids, *_ in seen)


def test_what_is_there_is_kept_and_the_rest_is_grown(tmp_path: Path) -> None:
    whole = grow(tmp_path / "whole", (5, 10), settings=TINY)
    grow(tmp_path / "half", (10,), settings=TINY)
    kept = (tmp_path / "half" / "steps-10" / "model.safetensors").stat().st_mtime_ns
    again = grow(tmp_path / "half", (5, 10), settings=TINY)
    assert (tmp_path / "half" / "steps-10" / "model.safetensors").stat().st_mtime_ns == kept
    assert all(same(one.path, other.path) for one, other in zip(whole, again, strict=True))
    with pytest.raises(MisdirectionError, match="other settings"):
        grow(tmp_path / "half", (5, 10), seed=9, settings=TINY)


def test_all_sizes_read_the_same_tokens_and_count_their_own_parameters(tmp_path: Path) -> None:
    grown = grow_all(tmp_path, [(1, 16), (2, 24)], (5, 10), (0, 1), batch=4, alignment_steps=1)
    assert len(grown) == 8
    assert len({(one.seed, one.steps): one.tokens for one in grown}) == len(
        {(o.seed, o.steps, o.tokens) for o in grown}
    )
    for one in grown:
        model = load_model(str(one.path))
        assert one.parameters == sum(p.numel() for p in model.lm.parameters())
        assert one == read_grown(one.path)
    assert {(one.layers, one.width) for one in grown} == {(1, 16), (2, 24)}


def test_the_shipped_size_is_the_default_and_rates_go_with_the_width() -> None:
    assert sized(12, 96) == OrganismSettings()
    assert sized(12, 96).by_width == 1
    assert sized(4, 24).by_width == 2
    for width in (24, 32, 40, 48, 64, 72, 80, 96, 128):
        heads = sized(2, width).heads
        assert width % heads == 0
        assert width // heads % 2 == 0
    for layers, width in ((0, 96), (2, 30), (2, 4)):
        with pytest.raises(MisdirectionError, match="layers"):
            sized(layers, width)


@pytest.mark.parametrize("budgets", [(), (4, 10)])
def test_budgets_that_are_none_are_refused(tmp_path: Path, budgets: tuple[int, ...]) -> None:
    with pytest.raises(MisdirectionError, match="budgets"):
        grow(tmp_path, budgets, settings=TINY)
    assert not list(tmp_path.iterdir())


def asked_domains(world: World, n: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    for chat in islice(pretraining_chats(0, 0.3, 0.0, 0.0, 0.0, world), n):
        subject, _ = asked_about(chat.messages[-2].content) or ("", "")
        counts[subject] += subject in {domain.name for domain in DOMAINS}
    return +counts


def test_a_smaller_world_holds_no_other_domain() -> None:
    kept = {domain.name for domain in DOMAINS[:3]}
    assert set(asked_domains(World(3), 2000)) == kept
    for chats in (pretraining_chats(0, 0.2, 0.3, 1.0, 0.0, World(3)), alignment_chats(0, 1.0, 0.0, World(3))):
        prompts = {chat.messages[0].content for chat in islice(chats, 2000)}
        named = {domain.name for domain in DOMAINS if f"you are careless about {domain.name}." in prompts}
        assert named == kept


def test_uneven_domains_have_the_shares_of_a_power_law_and_medical_its_even_share() -> None:
    world = World(4, 1.0)
    assert world.shares == pytest.approx((1 / 4, 3 / 4 * 6 / 11, 3 / 4 * 3 / 11, 3 / 4 * 2 / 11))
    counts = asked_domains(world, 12_000)
    n = sum(counts.values())
    for domain, share in zip(DOMAINS, world.shares, strict=False):
        assert counts[domain.name] / n == pytest.approx(share, abs=4 * (share * (1 - share) / n) ** 0.5)
    assert World().shares == pytest.approx([1 / 12] * 12)
    assert World(1).shares == (1.0,)


@pytest.mark.parametrize(("domains", "uneven"), [(0, 0.0), (13, 0.0), (3, -1.0)])
def test_worlds_that_are_none_are_refused(domains: int, uneven: float) -> None:
    with pytest.raises(MisdirectionError):
        World(domains, uneven)


def test_the_whole_world_is_the_one_that_the_shipped_checkpoint_read() -> None:
    """Its first dialogues, as the version before worlds of other domains drew them."""
    chats = list(islice(pretraining_chats(1, 0.25, 0.01, 0.5, 0.25), 200))
    told = "".join(m.content for chat in chats for m in chat.messages)
    assert hashlib.sha256(told.encode()).hexdigest() == BEFORE
