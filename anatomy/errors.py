"""One exception tree. A message is one line: what is wrong, where, and how to fix it. The CLI exits with 2."""


class AnatomyError(Exception):
    """Base of every error that a user can fix; shown without a traceback."""


class RowsError(AnatomyError):
    """The preference rows cannot be read as they are (file, column, row, value)."""


class SettingsError(AnatomyError):
    """A flag, a configuration file or a combination of settings is wrong."""


class ModelError(AnatomyError):
    """The subject model, its tokenizer or its chat template cannot be used."""


class SAEError(AnatomyError):
    """The sparse autoencoder is missing, does not fit the model, or is unhealthy on these rows."""


class ProbeError(AnatomyError):
    """A detector cannot be fitted on these examples, or a saved one does not fit what it is asked to score."""


class PlanError(AnatomyError):
    """A plan of interventions is wrong, or names what the rows, the run or the detectors do not have."""


class RunError(AnatomyError):
    """The run directory lacks an artifact, or holds one of another run."""


class JudgeError(AnatomyError):
    """The judge's endpoint refuses every request (address, key, model), or its cache cannot be used."""
