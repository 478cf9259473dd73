"""Section card: what a version's model card says that no measurement can tell."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from include.lifecycle.sections.base import Section

Word = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]


class CardSection(Section):
    """Words of the model card."""

    license: Word | None = Field(
        description="licence identifier as the Hugging Face Hub lists them, such as apache-2.0; null: not told"
    )
    intended_use: str = Field(description="what the predictions are for, and who acts upon them")
    out_of_scope: str = Field(description="what the predictions must not be used for")
    limitations: list[str] = Field(description="known limits, one sentence each; measured ones are added by themselves")
    tags: list[Word] = Field(description="more tags of the card's metadata block")
