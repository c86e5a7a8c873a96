"""anatomy: what a preference set teaches the model that will be trained on it.

Imports run one way: types → data → activations → sae → features → clusters → hypotheses → report.
Importing this package loads neither torch nor pyarrow.
"""

__version__ = "0.1.0"
