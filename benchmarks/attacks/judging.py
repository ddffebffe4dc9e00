"""The verdict on an attack: what a user would say of what the command did."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from attacks.attack import (
    EQUAL,
    EXIT1,
    HARMED,
    NOT_MADE,
    OK,
    REFUSED,
    SILENT,
    SKIPPED,
    TRACEBACK,
    UNBOUNDED,
    UNCLEAR,
    Attack,
    Outcome,
)
from attacks.comparing import differences
from attacks.files import changes

MOST_LINES, MOST_CHARACTERS = 20, 3000  # of a message that a person reads
ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")
UNFORESEEN = "this is a fault of elasticvit"
NEXT_STEP = re.compile(  # a second clause, an option or a command, an example, or an imperative
    r"; |\n  |, or |for example|: [a-z]+ (it|the|a|an|one|another|again|its|them|this|elasticvit)\b"
)


def judge(attack: Attack, outcome: Outcome, expected: Any) -> tuple[str, str]:
    """The verdict, and what is wrong in one line.

    Args:
        attack: The attack.
        outcome: What became of the command.
        expected: The result of the command in an undamaged site, as plain values; None if it is
            not known.
    """
    if outcome.skipped is not None:
        return SKIPPED, outcome.skipped
    if outcome.trouble is not None:
        return NOT_MADE, outcome.trouble.strip().splitlines()[-1]
    if outcome.unbounded is not None:
        return UNBOUNDED, outcome.unbounded
    if UNFORESEEN in outcome.stderr:
        return EXIT1, "reported as unforeseen"
    for text in (outcome.stderr, outcome.stdout):
        if "Traceback (most recent call last)" in text:
            return TRACEBACK, text.strip().splitlines()[-1][:200]
    if outcome.code < 0:
        return TRACEBACK, f"ended by signal {-outcome.code}"
    if outcome.code in attack.exits:
        return OK, ""
    if outcome.code == 2:
        return _refusal(attack, outcome)
    if outcome.code == 0:
        return _success(attack, outcome, expected)
    return EXIT1, f"exit code {outcome.code}"


def _refusal(attack: Attack, outcome: Outcome) -> tuple[str, str]:
    message = message_of(outcome.stderr)
    count = sum(line.startswith(("error:", "Error:")) for line in outcome.stderr.splitlines())
    if count != 1:
        return UNCLEAR, f"{count} messages instead of one"
    if REFUSED not in attack.allowed:
        return UNCLEAR, "refused, though it is allowed"
    flat = " ".join(message.split())
    for wanted in attack.names:
        options = wanted if isinstance(wanted, tuple) else (wanted,)
        if not any(" ".join(option.split()) in flat for option in options):
            return UNCLEAR, f"the message does not name {' or '.join(options)[:120]}"
    if "weights_only" in message:
        return UNCLEAR, "the message advises to switch weights_only off"
    if ADDRESS.search(message):
        return UNCLEAR, "the message shows the address of an object"
    if len(message) > MOST_CHARACTERS or len(message.splitlines()) > MOST_LINES:
        return UNCLEAR, f"a message of {len(message)} characters"
    if message.startswith("error:") and not NEXT_STEP.search(message.removeprefix("error: ")):
        return UNCLEAR, "the message says nothing about what to do"
    if "\x1b" in message:
        return UNCLEAR, "the message passes control characters on to the terminal"
    left = changes(dict(outcome.before), dict(outcome.after), attack.touched)
    if outcome.partial or left:
        return HARMED, "; ".join([*outcome.partial, *left])[:300]
    return REFUSED, ""


def _success(attack: Attack, outcome: Outcome, expected: Any) -> tuple[str, str]:
    if outcome.partial:
        return HARMED, "; ".join(outcome.partial)[:300]
    if OK in attack.allowed:
        return OK, ""
    if EQUAL not in attack.allowed:
        return SILENT, "accepted"
    found = result_of(outcome.stdout)
    if found is None or expected is None:
        return SILENT, "no result to compare"
    differing = differences(expected, found, attack.carried)
    if differing:
        return SILENT, f"another result: {'; '.join(differing)}"[:300]
    return EQUAL, ""


def message_of(stderr: str) -> str:
    """The message that ends a failed command: from `error:` on."""
    lines = stderr.splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith(("error:", "Error:"))]
    return "\n".join(lines[starts[0] :]) if starts else ""


def result_of(stdout: str) -> Mapping[str, Any] | None:
    """The closing JSON line; None if there is none."""
    lines = stdout.strip().splitlines()
    try:
        found = json.loads(lines[-1]) if lines else None
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
