import pytest

from options.settings import Settings
from options.workers import WorkerSettings
from pipeline.chain import tracing_of
from runners.clients import WorkerClients
from transforms.tracing import Tracing


def _tracing(settings: Settings) -> Tracing | None:
    return tracing_of(settings, WorkerClients(WorkerSettings.of(settings, {})))


@pytest.mark.parametrize(
    ("sampler", "follows_parent", "ratio"),
    [
        ("always_on", False, 1.0),
        ("traceidratio", False, 0.25),
        ("parentbased_always_on", True, 1.0),
        ("parentbased_always_off", True, 0.0),
        ("parentbased_traceidratio", True, 0.25),
    ],
)
def test_the_samplers_of_opentelemetry(sampler: str, follows_parent: bool, ratio: float) -> None:
    settings = Settings.model_validate(
        {
            "otel_traces": True,
            "otel_traces_sampler": sampler.upper(),
            "otel_traces_sampler_arg": 0.25,
        }
    )
    tracing = _tracing(settings)
    assert tracing is not None
    assert (tracing.follows_parent, tracing.ratio) == (follows_parent, ratio)


def test_nothing_is_traced_unless_asked_for() -> None:
    assert _tracing(Settings.model_validate({})) is None
    assert _tracing(Settings.model_validate({"otel_stdout_tracer": True})) is not None
    off = {"otel_traces": True, "otel_traces_sampler": "always_off"}
    assert _tracing(Settings.model_validate(off)) is None
