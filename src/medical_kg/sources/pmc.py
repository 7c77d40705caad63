"""Full-text articles of PubMed Central: from files, from NCBI or from Europe PMC, by a search or by ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints

from medical_kg.sources.contract import since_of
from medical_kg.sources.entrez import Database, EntrezOptions, EntrezSource
from medical_kg.sources.europepmc import REST, EuropePmc
from medical_kg.sources.live import address_of, parameter, with_query

if TYPE_CHECKING:
    from medical_kg import Page, StageContext
    from medical_kg.sources.contract import SourceOptions


Number = Annotated[str, StringConstraints(pattern=r"^(PMC)?[1-9][0-9]*$")]


class PmcOptions(EntrezOptions):
    """Options of ``pmc``: those of a search at NCBI, and who is asked."""

    ids: tuple[Number, ...] = Field(default=(), description="articles as 123 or PMC123, in place of a search")
    service: Literal["ncbi", "europepmc"] = Field(
        default="ncbi", description="who is asked; the search of europepmc has the parameter query in place of term"
    )


class PmcSource(EntrezSource):
    """Full-text articles of PubMed Central.

    The input is a folder or file, or the address of a search: of NCBI as of ``pubmed``, where with ``open access[filter]`` in
    its term every article has its text, or of Europe PMC, where only those with a text are asked for:
    ``https://www.ebi.ac.uk/europepmc/webservices/rest/search?query=asthma``.
    """

    name: ClassVar[str] = "pmc"
    reads: ClassVar[tuple[str, ...]] = ("jats",)
    # The date a record came into PMC; changes of it are not told apart.
    database: ClassVar[Database] = Database("pmc", "jats", "pmc-articleset", "pmcid:PMC", "pmcrdat", 50)
    options_model: ClassVar[type[SourceOptions]] = PmcOptions
    options: PmcOptions

    def pull(self, ctx: StageContext, cursor: str | None, limit: int) -> Page:
        """Give the next page; see ``Source.pull``."""
        address = address_of(ctx, f"{REST}/search", self.options.query, self.options.ids)
        if address is None or not self._asks_europe(ctx, address):
            return super().pull(ctx, cursor, limit)
        if not self.options.ids or ctx.input.get("input"):
            return EuropePmc().pull(ctx, self.name, _narrowed(ctx, address), cursor, limit)
        ids = [f"PMC{number}" for number in self.numbers()]
        return EuropePmc(ids).pull(ctx, self.name, address, cursor, limit)

    def _asks_europe(self, ctx: StageContext, address: str) -> bool:
        if ctx.input.get("input"):
            return "/europepmc/" in urlsplit(address).path
        return self.options.service == "europepmc"


def _narrowed(ctx: StageContext, address: str) -> str:
    """Return a search that leaves out what has no text, and what was not updated since."""
    wanted = [f"({parameter(address, 'query')})", "OPEN_ACCESS:y"]
    if since := since_of(ctx):
        wanted.append(f"UPDATE_DATE:[{since.date().isoformat()} TO 3000-12-31]")
    return with_query(address, {"query": " AND ".join(wanted)})
