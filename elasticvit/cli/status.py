"""`evit-status`: what a workspace holds, and what to do next."""

from __future__ import annotations

from elasticvit.cli.app import evit_command
from elasticvit.cli.command import command_line
from elasticvit.cli.report import Report
from elasticvit.cli.status_report import print_status
from elasticvit.flows.status import status

HELP = """Show what the workspace holds and what to do next. Nothing is changed.

Lists the profiled devices, training runs, searches, exported models and timed models, and what in
them is damaged. With -q it prints the command to run next alone.
"""


@evit_command("evit-status", HELP, "nothing was changed")
def main(report: Report, workspace: str | None) -> None:
    found = status(workspace)
    print_status(report, found)
    report.say(found.reason)
    report.place(command_line(found.next_step), "next:")  # with -q the command alone
    report.close(found.to_dict())


if __name__ == "__main__":
    main()
