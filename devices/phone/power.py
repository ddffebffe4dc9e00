"""The power mode of a phone during a profile."""

from __future__ import annotations

import re

from devices.adb.link import AdbLink
from devices.phone.facts import CPU, PhoneFacts

REFUSED = re.compile(r"error|unknown|exception|not found", re.IGNORECASE)


class PowerMode:
    """Keeps the clocks of the cores steady while a profile runs, as far as the phone permits.

    With root the governor becomes `performance`; without, Android's fixed performance mode is
    requested. A script that restores the previous mode is written to the phone before anything is
    changed, so that the next profile can restore it if this one is killed.

    Args:
        link: Open link to the phone.
        facts: Facts of the phone.
        undo: Path of that script on the phone.

    Attributes:
        name: Current mode: `governor performance`, `fixed performance mode` or `default`.
    """

    def __init__(self, link: AdbLink, facts: PhoneFacts, undo: str) -> None:
        self._link, self._facts, self._undo = link, facts, undo
        self.name = "default"

    def fix(self) -> None:
        """Request steady clocks; a phone that refuses keeps its mode."""
        files = f"{CPU}/cpu[0-9]*/cpufreq/scaling_governor"
        if self._facts.rooted:
            # repeated when its answer is lost: what the first one wrote down stays
            fixed = self._link.shell(
                f"[ -s {self._undo} ] || {{ for f in {files}; do "
                f'[ -w $f ] && echo "echo $(cat $f) > $f"; done > {self._undo}.part 2>/dev/null; '
                f"mv -f {self._undo}.part {self._undo}; }}; "
                f"[ -s {self._undo} ] && for f in {files}; do "
                f"echo performance > $f || exit 1; done && cat {files} | sort -u"
            )
            if fixed.code == 0 and fixed.stdout.split() == ["performance"]:
                self.name = "governor performance"
                return
            self.restore()  # of the cores that were changed
        mode = "cmd power set-fixed-performance-mode-enabled"
        asked = self._link.shell(f"echo '{mode} false' > {self._undo}; {mode} true")
        if asked.code == 0 and not REFUSED.search(asked.stdout + asked.stderr):
            self.name = "fixed performance mode"
        else:
            self._link.shell(f"rm -f {self._undo}")

    def restore(self) -> None:
        """Restore the previous power mode, also after a profile that was killed."""
        self._link.shell(f"[ -s {self._undo} ] && sh {self._undo}; rm -f {self._undo}")
        self.name = "default"
