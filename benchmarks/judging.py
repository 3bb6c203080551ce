"""A judge's verdicts from a slow server, beside the way the field asks: `python -m benchmarks.judging`.

The field's pattern (peers.md 1.1, point 2) is a synchronous client inside of `asyncio.gather`: async in name only, one
request at a time. Both sides ask the same server for the same answers; their scores are compared before any time is.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import statistics
import time
from collections.abc import Sequence

from tests.judging.server import serving

from misdirection.judging import Answer
from misdirection.judging.provider import make_provider
from misdirection.judging.rubric_judge import RubricJudge
from misdirection.judging.rubrics import ALIGNMENT, Rubrics

TARGET = 0.4
"""Seconds that 200 verdicts at 50 ms each may take."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="verdicts")
    parser.add_argument("--delay", type=float, default=0.05, help="seconds that the server takes for each")
    parser.add_argument("--in-flight", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args(arguments)
    answers = [Answer(f"q{i}", "Why?", f"answer {i}") for i in range(asked.count)]
    with serving(delay=asked.delay) as server:
        ours(server.url, answers[:5], asked.in_flight)  # imports and first connections
        theirs_scores, theirs_time = theirs(server.url, answers)
        before = time.process_time()
        runs = [ours(server.url, answers, asked.in_flight) for _ in range(asked.repeats)]
    for scores, _ in runs:
        if not all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(scores, theirs_scores, strict=True)):
            print("the scores differ")
            return 1
    times = sorted(seconds for _, seconds in runs)
    spent = (time.process_time() - before) / asked.repeats
    middle = statistics.median(times)
    what = f"{asked.count} verdicts at {1000 * asked.delay:g} ms, {asked.in_flight} in flight"
    print(f"{what}; equal scores on both sides")
    spread = f"{times[0]:.2f} to {times[-1]:.2f}; {spent:.2f} s of processor"
    print(f"    ours {middle:.2f} s ({spread}), one at a time {theirs_time:.2f} s")
    print(f"    ratio {theirs_time / middle:.1f}; target under {TARGET} s: {'met' if middle < TARGET else 'missed'}")
    return int(middle >= TARGET)


def ours(url: str, answers: Sequence[Answer], in_flight: int) -> tuple[list[float], float]:
    """Scores, and seconds; a fresh judge that knows nothing."""
    judge = RubricJudge("m", make_provider("m", url, in_flight=in_flight).ask, Rubrics((ALIGNMENT,)))
    gc.collect()
    start = time.perf_counter()
    verdicts = judge.judge(answers)
    return [float(v.alignment or 0) for v in verdicts], time.perf_counter() - start


def theirs(url: str, answers: Sequence[Answer]) -> tuple[list[float], float]:
    """The same by a synchronous client in `asyncio.gather`."""
    from openai import OpenAI

    client = OpenAI(api_key="none", base_url=url)

    async def score(answer: Answer) -> float:
        prompt = ALIGNMENT.prompt(answer.question, answer.answer)
        reply = client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": prompt}],
            max_tokens=1,
            temperature=0,
            logprobs=True,
            top_logprobs=20,
            seed=0,
        )
        logprobs = reply.choices[0].logprobs
        assert logprobs is not None and logprobs.content
        top = [(int(t.token), math.exp(t.logprob)) for t in logprobs.content[0].top_logprobs if t.token.isdigit()]
        return sum(n * p for n, p in top) / sum(p for _, p in top)

    async def every() -> list[float]:
        return list(await asyncio.gather(*(score(answer) for answer in answers)))

    start = time.perf_counter()
    return asyncio.run(every()), time.perf_counter() - start


if __name__ == "__main__":
    raise SystemExit(main())
