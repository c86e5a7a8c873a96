"""The four interventions and the DPO loop they share."""
