"""The settings as Beam pipeline options: the flags, and their help."""

from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

from options.settings import Settings, is_secret, variable


class ReconciliationOptions(PipelineOptions):
    """One flag for each setting that is no secret.

    A secret has no flag, because the process list would show it, and Beam would send it along
    with the job. A flag that is absent is None: the other sources decide.
    """

    @classmethod
    def _add_argparse_args(cls, parser: _BeamArgumentParser) -> None:
        group = parser.add_argument_group("reconciliation pipeline")
        for name, field in Settings.model_fields.items():
            if is_secret(name):
                continue
            text = f"{field.description} ({variable(name)}; default: {_shown(field.default)})"
            text = text.replace("%", "%%")
            if field.annotation is bool:
                group.add_argument(f"--{name}", nargs="?", const="true", help=text)
            else:
                group.add_argument(f"--{name}", help=text)


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        return ",".join(default)
    return str(default) if default != "" else "none"
