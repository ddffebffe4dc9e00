"""The events of profiles: plan, notices, and how far each device is."""

from __future__ import annotations

from elasticvit.cli.report import Report
from elasticvit.cli.wording import counted, duration
from elasticvit.events import Event
from elasticvit.flows.profile import ProfileProgress
from elasticvit.flows.profile_events import ProfilePlanned
from elasticvit.precisions import in_words

LONGEST_KEY = 40  # characters of a model's key that are shown


class ProfileEvents:
    """Handler of the events of profiles, which come from one thread a device."""

    def __init__(self, report: Report) -> None:
        self.report = report

    def __call__(self, event: Event) -> None:
        match event:
            case ProfilePlanned():
                self.report.say(plan_line(event))
            case ProfileProgress():
                key = event.key
                if len(key) > LONGEST_KEY:
                    key = f"{key[: LONGEST_KEY - 3]}..."
                self.report.activity.progress(
                    f"measuring on {event.device}",
                    event.done,
                    event.total,
                    "timings",
                    f"about {duration(event.left_s)} left, {key}",
                )
            case _:
                self.report.show(event)


def plan_line(plan: ProfilePlanned) -> str:
    """What will be measured, and how long it may take."""
    names = ", ".join(plan.devices)
    space = plan.space + in_words(plan.precision)
    if plan.like:
        what = f"learning {names} from {', '.join(plan.like)}"
        size = f"{counted(plan.kernels, 'kernel')}, " if plan.kernels is not None else ""
    else:
        what, size = f"profiling {names}", ""
    return f"{what} in space {space}: {size}at most {duration(plan.budget_s)} of measuring"
