"""Tests of means and contrasts whose rows are dependent within a prompt; effects, resampling, agreement."""
