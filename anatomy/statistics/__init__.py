"""Tests of means and contrasts whose rows depend on each other within a prompt, effects, agreement."""
