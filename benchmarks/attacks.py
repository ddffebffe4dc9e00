"""Attacks on the commands, as a hostile user would make them: hundreds, by class.

    python benchmarks/attacks.py [CLASS ...] [--name TEXT] [--keep FOLDER] [--jobs 2]

Damaged files of every kind, senseless options, full and read-only disks, closed pipes, pictures
that are none, several commands at once. Every attack runs in a fresh copy of a small workspace in
which all commands ran before, with limits on time and memory, and ends in one verdict: `refused`
(exit code 2, one message that names the value and what to do, nothing changed or left behind),
`equal` (the result of the undamaged workspace), `ok` (odd but allowed, and done); or, and then the
exit code is 1, `traceback`, `exit1` (reported as unforeseen), `unbounded`, `silent` (another result
without a word), `unclear` (the message does not name the value), `harmed` (a file changed or half
a file left), `not_made` (the attack itself failed). `skipped` are those that this machine does not
allow, such as mounts. The last line is JSON.

FOLDER keeps the prepared workspace, and what each bad attack left.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks"), str(ROOT / "tests")]

from attacks.attack import BAD, GOOD, SKIPPED, Attack, Outcome  # noqa: E402
from attacks.commands import preload  # noqa: E402
from attacks.judging import judge, result_of  # noqa: E402
from attacks.prepared import Unprepared, finish, prepare  # noqa: E402
from attacks.running import Running  # noqa: E402
from attacks.suite import CLASSES, attacks_of  # noqa: E402

EXCERPT = 500  # characters of the end of an output
POLL_S = 0.01


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("classes", nargs="*", metavar="CLASS", help=f"of {', '.join(CLASSES)}")
    parser.add_argument("--name", default="", help="only attacks whose name contains this text")
    parser.add_argument("--keep", type=Path, help="folder to keep the workspaces in")
    parser.add_argument("--jobs", type=int, default=2, help="attacks at a time")
    parser.add_argument("--list", action="store_true", help="list the attacks and run none")
    args = parser.parse_args()
    unknown = set(args.classes) - set(CLASSES)
    if unknown:
        parser.error(f"unknown class {', '.join(sorted(unknown))}; known are {', '.join(CLASSES)}")
    begun = time.monotonic()
    preload()
    scratch = Path(tempfile.mkdtemp(prefix="attacks-"))
    scratch.chmod(0o755)
    prepared = (args.keep or scratch) / "prepared"
    try:
        if not prepared.exists():
            prepare(prepared, scratch)
        attacks = [a for a in attacks_of(args.classes, prepared) if args.name in a.name]
        if args.list:
            print("\n".join(f"{a.kind}: {a.name}" for a in attacks))
            return 0
        results = run_all(attacks, prepared, scratch, args.jobs, args.keep)
    except Unprepared as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    report(results)
    verdicts = Counter(verdict for _, verdict, _, _ in results)
    by_class: dict[str, dict[str, int]] = {}
    for attack, verdict, _, _ in results:
        counts = by_class.setdefault(attack.kind, {})
        counts[verdict] = counts.get(verdict, 0) + 1
    line = {
        "benchmark": "attacks",
        "attacks": len(results),
        **{verdict: verdicts[verdict] for verdict in (*GOOD, *BAD, SKIPPED)},
        "seconds": round(time.monotonic() - begun),
        "by_class": by_class,
    }
    print(json.dumps(line))
    return int(any(verdicts[verdict] for verdict in BAD))


Result = tuple[Attack, str, str, Outcome]


def run_all(
    attacks: Sequence[Attack], prepared: Path, scratch: Path, jobs: int, keep: Path | None
) -> list[Result]:
    """Run the references and then all attacks; the results in the order of the attacks."""
    expected: dict[tuple[str, ...], Any] = {}
    for argv in dict.fromkeys(a.reference for a in attacks if a.reference is not None):
        place = scratch / f"reference-{len(expected)}"
        attack = Attack(kind="reference", name=" ".join(argv), argv=argv[:-1], limit_s=240)
        outcome = finish(Running(attack, argv, prepared, place))
        shutil.rmtree(place, ignore_errors=True)
        expected[argv] = result_of(outcome.stdout) if outcome.code == 0 else None
        if expected[argv] is None:
            note(f"no result to compare with: {' '.join(argv)}: {outcome.stderr[-EXCERPT:]}")
    results: dict[int, Result] = {}
    waiting = list(enumerate(attacks))[::-1]
    running: dict[int, Running] = {}
    while waiting or running:
        while waiting and len(running) < jobs:
            number, attack = waiting.pop()
            place = scratch / f"attack-{number}"
            running[number] = Running(attack, attack.words, prepared, place)
        for number, one in list(running.items()):
            outcome = one.poll()
            if outcome is None:
                continue
            del running[number]
            attack = attacks[number]
            reference = attack.reference
            verdict, why = judge(attack, outcome, expected.get(reference) if reference else None)
            results[number] = (attack, verdict, why, outcome)
            if verdict in BAD:
                note(f"{number}/{len(attacks)} {attack.kind}: {attack.name}: {verdict}: {why}")
            if verdict in BAD and keep is not None:
                kept = keep / f"{attack.kind}-{number}"
                shutil.rmtree(kept, ignore_errors=True)
                shutil.move(one.place, kept)
            shutil.rmtree(one.place, ignore_errors=True)
        time.sleep(POLL_S)
    return [results[number] for number in sorted(results)]


def note(text: str) -> None:
    """A line on the progress."""
    print(text, file=sys.stderr, flush=True)


def report(results: Iterable[Result]) -> None:
    """Print the bad attacks with what was said, and a table by class."""
    results = list(results)
    for attack, verdict, why, outcome in results:
        if verdict not in BAD:
            continue
        print(f"--- {attack.kind}: {attack.name}: {verdict}: {why}")
        print(f"    {' '.join(attack.words)}"[:300])
        ends = (outcome.stderr, outcome.stdout, outcome.trace[-EXCERPT:], outcome.trouble or "")
        for text in ends:
            if text.strip():
                print("    " + text.strip()[-EXCERPT:].replace("\n", "\n    "))
    columns = [v for v in (*GOOD, *BAD, SKIPPED) if any(r[1] == v for r in results)]
    print(f"\n{'class':<20} {'all':>5} " + " ".join(f"{c:>9}" for c in columns))
    for kind in dict.fromkeys(attack.kind for attack, *_ in results):
        ours = [verdict for attack, verdict, *_ in results if attack.kind == kind]
        counts = " ".join(f"{ours.count(c) or '':>9}" for c in columns)
        print(f"{kind:<20} {len(ours):>5} {counts}")


if __name__ == "__main__":
    sys.exit(main())
