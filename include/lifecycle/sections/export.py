"""Section export: which further files a version offers for download."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from include.lifecycle.sections.base import NotNegative, Positive, Section, Share


class QuantiseSection(Section):
    """Dynamic quantisation of the ONNX file (weights as 8-bit integers), and how much it may cost."""

    enabled: bool = Field(description="whether registration tries it; what is refused is told with its numbers")
    metric_loss: NotNegative = Field(description="in units of the objective's metric; so much worse is accepted")
    calibration_loss: NotNegative = Field(description="rise of the Brier score that is accepted (classification)")
    largest_difference: NotNegative = Field(
        description="largest difference of one prediction: a probability; in regression, standard deviations of the predictions"
    )
    size_gain: Annotated[Share, Field(lt=1)] = Field(
        description="fraction of the file's size that must be saved, else it is refused"
    )
    rows: Positive = Field(description="hold-out rows that are compared, spread evenly")


class ExportSection(Section):
    """Files beside those that serve."""

    quantise: QuantiseSection = Field(description="an 8-bit copy of the ONNX file, within stated losses")
