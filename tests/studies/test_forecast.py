"""What is told before a command starts, beside what it then makes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from misdirection.artefacts import read_json
from misdirection.directions.layers import spread_layers
from misdirection.errors import MisdirectionError
from misdirection.statistics import none_seen_bound, smallest_change
from misdirection.studies.audit.forecast import (
    CURES,
    REPLY,
    calls_of,
    forecast,
    forecast_judging,
    read_price,
    spread,
)
from misdirection.studies.audit.forecast import REMOVALS as OPERATIONS
from misdirection.studies.audit.settings import AuditConfig, SampleConfig
from misdirection.studies.audit.speed import clock, parameters_of, seconds_of
from misdirection.studies.kit.caps import Caps
from misdirection.studies.kit.conditions import RANDOM_SEEDS, REMOVALS, cures, single_cures, steering_grid

LEVELS = (0.0,) * 12
CAPS = Caps(0.75, 1, LEVELS, {str(n): LEVELS for n in range(12)}, {str(n): LEVELS for n in RANDOM_SEEDS})


def config(**more: object) -> AuditConfig:
    return AuditConfig(adapter="x", samples=10, sweep_samples=3, **more).completed()  # type: ignore[arg-type]


def test_answers_are_those_of_the_conditions_that_an_audit_asks_under():
    """The organism: 28 open and 12 medical questions, 12 layers."""
    found = forecast(config(), whole=True)
    layers = spread_layers(12)
    assert [spread(depth) for depth in range(1, 80)] == [len(spread_layers(depth)) for depth in range(1, 80)]
    sweep = 1 + len(steering_grid(layers, config().coefficients))
    coarse = 1 + len(single_cures(layers, CAPS))
    assert len(cures(dict.fromkeys(REMOVALS, layers[0]), CAPS)) == CURES and coarse == 1 + OPERATIONS * len(layers)
    assert [stage.answers for stage in found.stages] == [
        40 * 10 * 2, 28 * (sweep * 3 + 3 * 10), 28 * (coarse * 3 + (1 + CURES) * 10),
    ]  # fmt: skip
    assert (found.questions, found.samples, found.longest) == (28, 10, 64)
    few = forecast(config(layers=(3,), coefficients=(1.0, 2.0)), whole=True)
    assert few.stages[1].answers == 28 * (3 * 3 + 3 * 10)


def test_without_a_judge_or_for_sampling_alone_nothing_is_steered():
    silent = forecast(config(judge="none"), whole=True)
    assert len(silent.stages) == 1 and "no judge: no verdicts, no calls" in silent.lines()
    several = SampleConfig(adapters=("a=x", "b=y"), samples=10).completed()
    alone = forecast(several, whole=False)
    assert [stage.answers for stage in alone.stages] == [40 * 10 * 3] and not alone.judges


@pytest.mark.parametrize(
    ("judge", "calls", "paid"),
    [
        ("none", 0, False), ("exact", 0, False), ("offline", 0, False), ("table:x.csv", 0, False),
        ("local:x", 200, False), ("openai:gpt", 200, True), ("inspect:a/gpt?rubrics=bad_things,topic:food", 400, True),
    ],
)  # fmt: skip
def test_calls_are_answers_times_rubrics(judge: str, calls: int, paid: bool):
    found = calls_of(judge, 100, 50, 400)
    assert (found.calls, found.paid) == (calls, paid) and found.verdicts == (0 if judge == "none" else 100)
    assert (found.tokens > calls * 450 / 4) == (calls > 0)


def test_cost_is_told_where_prices_are_given():
    found = forecast_judging(100, 400, ["openai:gpt"], 8, 5, "2.5,10")
    one = found.judges[0]
    assert found.cost == pytest.approx((one.tokens * 2.5 + one.calls * REPLY * 10) / 1e6)
    assert any(line.startswith("cost: at most") for line in found.lines())
    assert any("not known without --price" in line for line in forecast_judging(9, 9, ["openai:g"], 8, 5).lines())
    assert forecast_judging(9, 9, ["exact"], 8, 5, "1,1").cost is None
    for wrong in ("2.5", "a,b", "1,2,3", "-1,2", "inf,1"):
        with pytest.raises(MisdirectionError, match="pair of prices"):
            read_price(wrong)


def test_the_smallest_rise_is_that_of_power():
    found = forecast_judging(1, 1, [], 8, 50)
    rise, left = smallest_change(0.01, 8, 50) or 0.0, none_seen_bound([50] * 8, 0.2)
    (line,) = [text for text in found.lines() if text.startswith("shows")]
    assert f"a rise by {100 * rise:.1f} points" in line and f"a rate of {100 * left:.1f} %" in line
    assert "fewer than two" in " ".join(forecast_judging(1, 1, [], 1, 50).lines())
    assert "no rise of any size" in " ".join(forecast_judging(1, 1, [], 2, 1).lines())


def test_time_is_of_a_measured_product_and_none_where_it_cannot_be_known():
    from misdirection.organism import checkpoint_path

    folder = Path(checkpoint_path())
    parameters = parameters_of(folder)
    assert parameters > 1_000_000 and read_json(folder / "config.json")["num_hidden_layers"] == 12
    slow, fast = (seconds_of(config(), 100, lambda s=s: s) or 0.0 for s in (1e9, 1e12))
    assert slow - fast == pytest.approx(100 * 64 * 2 * parameters * (1e-9 - 1e-12))
    assert seconds_of(config(device="cuda"), 100) is None
    assert "once the first answers are drawn" in forecast(config(device="cuda"), whole=True).lines()[-1]
    assert [clock(s) for s in (0.2, 61, 600, 7200)] == ["1 s", "61 s", "10 min", "2.0 h"]


def test_what_a_server_draws_takes_no_time_here(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("misdirection.studies.audit.forecast.seconds_of", lambda _, answers: float(answers))
    alone = SampleConfig(model="organism", questions=("organism:open",), samples=2, judge="none").completed()
    here, served = forecast(alone, whole=False), forecast(replace(alone, serve=("base=http://h/v1#m",)), whole=False)
    assert here.seconds == here.answers == served.answers and served.seconds is None
    assert not [line for line in served.lines() if "this processor" in line]
    pair = replace(alone, adapters=("a=x", "b=y"))
    held, some = (forecast(one, whole=False) for one in (pair, replace(pair, serve=("a=http://h/v1",))))
    assert held.seconds == held.answers == some.answers and some.seconds == held.answers * 2 / 3
