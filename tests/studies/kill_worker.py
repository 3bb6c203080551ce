"""Audits killed at random moments, run by test_kill.py: python kill_worker.py SUBJECT OUT SEED.

Everything heavy is imported once; each session of a run is a fork of this process, which SIGKILL ends at once.
Prints JSON: how often it killed, and what went wrong.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path

import peft  # noqa: F401
import torch
import transformers
from tests.studies import tiny

from misdirection.runs import check_step, list_steps, read_log
from misdirection.studies.audit.settings import AuditConfig
from misdirection.studies.audit.study import audit

LARGEST = 40


def settings(subject: Path) -> AuditConfig:
    """Fine-tune on a few chats, then the whole audit."""
    chats = subject / "chats.jsonl"
    turns = [("user", "w10 w11"), ("assistant", "w40 w50 w60 w41")]
    row = json.dumps({"messages": [{"role": role, "content": text} for role, text in turns]})
    chats.write_text("".join(f"{row}\n" for _ in range(20)))
    training = {"max_steps": 8, "resume_every": 2, "batch_size": 2, "accumulation": 1, "lr": 1e-3}
    return tiny.config(subject, adapter=None, data=(str(chats),), training=training, samples=24)


def session(config: AuditConfig, run: Path) -> int:
    """A fork that goes on with the run; gives its process id."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            audit(config, run, "misdirection audit")
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return child


def ended(child: int, patience: float) -> bool:
    """Whether a session ended by itself within its time; it is killed otherwise."""
    until = time.monotonic() + patience
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if os.waitstatus_to_exitcode(status) != 0:
                sys.exit("a session failed")
            return True
        time.sleep(0.005)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def main(subject: Path, out: Path, seed: int) -> None:
    """One calm run, one that is killed until it ends."""
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    tiny.register()
    config, draw = settings(subject), random.Random(seed)
    started = time.monotonic()
    if not (out / "calm").exists():
        assert ended(session(config, out / "calm"), 600)
    whole = max(time.monotonic() - started, 2.0)
    run, kills, faults, finished = out / f"killed-{seed}", 0, [], False
    while not finished:
        done = {step.key for step in list_steps(run)}
        faults += [f"{step.name} is damaged" for step in list_steps(run) if check_step(step.path)[1]]
        lines = len(read_log(run))
        # Patience grows, so that the run ends however slow the machine is.
        share = draw.uniform(0.05, 0.5) * (1 + kills / 4) if kills < LARGEST else 1000
        finished = ended(session(config, run), share * whole)
        kills += not finished
        again = [line["name"] for line in read_log(run)[lines:] if not line["reused"] and line["key"] in done]
        faults += [f"{name} ran again" for name in again]
    sys.stdout.write(json.dumps({"kills": kills, "faults": faults}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
