"""The pipelines: one module for each verb, whose public function is the Python interface of the verb too."""
