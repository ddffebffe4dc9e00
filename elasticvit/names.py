"""Names that people give: of devices and search spaces. They become names of files and folders."""

from __future__ import annotations

from elasticvit.errors import EvitError
from elasticvit.reading import shown

HOST = "host"  # this computer among the devices
LONGEST = 100  # characters
RULE = (
    f"1 to {LONGEST} printable characters, without / and \\, not beginning with a dot, a hyphen "
    "or a space, and not ending with a space"
)


def check_name(what: str, name: str, error: type[EvitError], setting: str = "") -> str:
    """The name itself.

    Args:
        what: What it names, for the message.
        name: The name.
        error: Type of the error of a name that breaks the rule.
        setting: Setting of a flow that the name comes from.

    Raises:
        EvitError: The name breaks the rule; of the type `error`.
    """
    good = (
        isinstance(name, str)
        and 0 < len(name) <= LONGEST
        and len(name.encode(errors="replace")) <= 2 * LONGEST
        and name.isprintable()
        and not any(c in name for c in "/\\")
        and name[0] not in ".- "
        and name[-1] != " "
    )
    if not good:
        raise error(
            f"{what} is {shown(name)}; it must be {RULE}", settings=[setting] if setting else []
        )
    return name
