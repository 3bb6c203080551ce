"""--dry-run as a user types it: what would be done is said, and nothing is."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Cli


def test_a_dry_run_of_an_audit_says_what_the_run_makes_and_writes_nothing(cli: Cli, tiny: Path, tmp_path: Path):
    run = tmp_path / "run"
    base = ("--model", tiny / "base", "--adapter", tiny / "adapter", "--questions", tiny / "questions.yaml")
    more = ("--samples", 3, "--max-new-tokens", 8, "--out", run)
    done = cli("sample", *base, *more, "--dry-run")
    assert done.code == 0 and not run.exists() and "nothing was loaded" in done.out
    told = re.search(r"draws (\d+) answers, at most (\d+) tokens", done.out)
    assert told and int(told[2]) == 8 * int(told[1])
    assert f"{told[1]} answers:" in cli("sample", *base, *more).out
    judged = cli("judge", run, "--judge", "words", "--dry-run")
    assert judged.code == 0 and f"judge words: {told[1]} verdicts, no calls" in judged.out
    assert not (run / "verdicts.parquet").exists()
    whole = cli("audit", *base, *more, "--judge", "words", "--dry-run", "--price", "1,2")
    assert whole.code == 0 and "steered (where there is a direction)" in whole.out
    told_all = json.loads(cli("audit", *base, *more, "--judge", "words", "--dry-run", "--price", "1,2", "--json").out)
    assert [f"  {line}" for line in told_all["lines"]] == whole.out.splitlines()[:-1] and told_all["samples"] == 3
    told_run = json.loads(cli("judge", run, "--judge", "words", "--dry-run", "--json").out)
    assert told_run["judges"][0]["calls"] == 0 and told_run["answers"] == 0
    (run / "answers.parquet").unlink()
    none = cli("judge", run, "--judge", "words", "--dry-run")
    assert none.code == 2 and "holds no answers yet" in none.err and not (run / "verdicts.parquet").exists()
    wrong = cli("audit", *base, *more, "--judge", "words", "--price", "1", "--dry-run")
    assert wrong.code == 2 and "pair of prices" in wrong.err


def test_a_dry_run_imports_no_torch(tmp_path: Path):
    code = (
        "import sys\nfrom misdirection.cli import main\n"
        f"sys.argv = ['misdirection', '--quiet', 'audit', '--out', {str(tmp_path / 'run')!r}, '--dry-run']\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], text=True, capture_output=True, check=True)
    assert "draws" in done.stdout and done.stdout.splitlines()[-1] == "False"
