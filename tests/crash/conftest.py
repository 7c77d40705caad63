"""The site of the short crash suite: programs are forked from one process, each row has its expected end once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from programs import Programs
from sites import Site

SiteFor = Callable[[str], Site]


@pytest.fixture(scope="session")
def programs() -> Iterator[Programs]:
    """Makes programs over imported modules."""
    made = Programs()
    yield made
    made.close()


@pytest.fixture(scope="session")
def site_for(
    programs: Programs, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Site]:
    """Give the site for a kind of database; without a server the tests on it are skipped."""
    folder, sites = tmp_path_factory.mktemp("crash"), dict[str, Site]()

    def site(kind: str) -> Site:
        if kind not in sites:
            server = request.getfixturevalue("postgres") if kind == "postgres" else None
            (folder / kind).mkdir()
            sites[kind] = Site(programs, folder / kind, server)
        return sites[kind]

    return site
