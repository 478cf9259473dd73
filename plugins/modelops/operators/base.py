"""What all operators share: open the model's spec and the runtime, call one lifecycle function, hand on its result as plain JSON.

Data and gate failures fail the task at once, whatever its retries; systems that did not answer are tried again.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from include.lifecycle.errors import LifecycleError, TrainingRefusedError
from include.lifecycle.loading import load_model
from include.lifecycle.results import StageResult
from include.lifecycle.runtime import RunContext, Runtime, runtime
from include.lifecycle.spec import ModelSpec
from modelops.log_lines import lines_about
from modelops.runs import PROBLEM


class LifecycleOperator(BaseOperator):
    """Base of the operators: `stage` calls the lifecycle, `execute` maps its errors to Airflow's.

    :param model: Name of the model. (templated)
    """

    template_fields: Sequence[str] = ("model",)
    ui_color = "#e8f1fb"

    def __init__(self, *, model: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model

    @abstractmethod
    def stage(self, spec: ModelSpec, rt: Runtime, run: RunContext, context: Context) -> StageResult | dict[str, Any]:
        """Call one lifecycle function and return its result."""

    def execute(self, context: Context) -> Any:
        """Run the stage for this task instance; the result becomes the XCom."""
        arguments = [getattr(self, name) for name in self.template_fields]
        with lines_about(self.model, arguments), airflow_errors(), told_problems(context):
            result = self.stage(load_model(self.model), runtime(), run_context(self.model, context), context)
        return plain(result)


class airflow_errors:  # noqa: N801 - used like a function: `with airflow_errors():`
    """Translate lifecycle errors: a refusal skips, a retryable one passes (Airflow tries again), every other fails at once."""

    def __enter__(self) -> None:
        """Nothing to set up."""

    def __exit__(self, _kind: object, problem: BaseException | None, _trace: object) -> None:
        """Raise Airflow's exception in place of the lifecycle's."""
        if isinstance(problem, TrainingRefusedError):
            raise AirflowSkipException(str(problem)) from problem
        if isinstance(problem, LifecycleError) and not problem.retryable:
            raise AirflowFailException(f"{type(problem).__name__}: {problem}") from problem


@contextmanager
def told_problems(context: Context) -> Iterator[None]:
    """Leave the reason of a failing try as an XCom, so that the Dag's last task can say why the run failed."""
    try:
        yield
    except TrainingRefusedError:
        raise
    except Exception as problem:
        context["ti"].xcom_push(key=PROBLEM, value=f"{type(problem).__name__}: {problem}"[:2000])
        raise


def run_context(model: str, context: Context) -> RunContext:
    """Which run and task this is, for folders and the ledger."""
    instance: Any = context["ti"]
    return RunContext(model, str(instance.run_id), str(instance.task_id), int(instance.try_number))


def plain(result: StageResult | dict[str, Any]) -> dict[str, Any]:
    """JSON-plain form of a result, or of a dictionary of results."""
    if isinstance(result, StageResult):
        return result.model_dump(mode="json")
    return {key: plain(value) if isinstance(value, StageResult | dict) else value for key, value in result.items()}
