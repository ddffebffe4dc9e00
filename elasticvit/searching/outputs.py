"""What a finished search leaves in its folder: pictures, report, table of the best, result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from elasticvit.arch import Arch
from elasticvit.events import EventHandler
from elasticvit.searching.report import draw_front
from elasticvit.searching.search_page import SearchPage, write_search_page
from elasticvit.searching.top import TopRanked, rank_top, top_subnet_file, write_top
from elasticvit.searching.verified import Choice, R


def write_outputs(
    folder: Path,
    page: SearchPage,
    choices: Sequence[Choice[R]],
    *,
    top: int,
    events: EventHandler,
    save_subnet: Callable[[Arch, Path], None] | None = None,
) -> None:
    """Write everything but the winners' subnets into the folder of a search.

    Args:
        folder: Folder of the search.
        page: What the report shows.
        choices: Finalists of each goal, and what timing said of them.
        top: Number of the best architectures of each goal that are written; 1 for no table.
        events: Receives `TopRanked` if there is a table.
        save_subnet: Saves the subnet of an architecture of the table; None without weights.
    """
    cost = page.goals[-1].caps[0].cost
    draw_front(folder, page.result, cost.price(page.archs), page.accuracy)
    write_search_page(folder, page)
    if top > 1:
        best = rank_top(page.space, choices, top)
        if save_subnet is not None:
            for row in (row for row in best if row.rank > 1):
                save_subnet(row.arch, folder / top_subnet_file(row))
        write_top(folder, best)
        events(TopRanked(rows=best))
    page.result.save(folder)  # last: a folder with a result is a finished search
