"""One file for each verb: its function is the pipeline on one screen, and the Python API."""
