"""Two stages that do as they should: one feeds three words, one copies them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from medical_kg import NoConfig, Page, Stage, StageContext, StageMetadata, StateKey


class Word(BaseModel):
    """A record with a field that can be changed, as many a package has."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    text: str
    notes: dict[str, str] = Field(default_factory=dict)
    extra: Any = None


GIVEN: StateKey[list[Word]] = StateKey("given", list[Word], id="id", root="id")
COPIES: StateKey[list[Word]] = StateKey("copies", list[Word], id="id", root="id")


class Feed(Stage[NoConfig]):
    """Gives three words."""

    metadata = StageMetadata(
        stage_type="bystander-feed", version="1.0", description="Feeds.", writes=(GIVEN,), mode="stream"
    )

    def pull(self, ctx: StageContext, cursor: str | None, limit: int) -> Page:
        """Give them all at once."""
        return Page([Word(id=f"w{number}", text=f"word {number}", notes={"seen": "no"}) for number in (1, 2, 3)])


class Copy(Stage[NoConfig]):
    """Gives each word back, as it was."""

    metadata = StageMetadata(
        stage_type="bystander-copy",
        version="1.0",
        description="Copies.",
        reads=(GIVEN,),
        writes=(COPIES,),
        mode="item",
    )

    def process(self, ctx: StageContext, item: Word, **reads: Any) -> Word:
        """Give it back."""
        return item
