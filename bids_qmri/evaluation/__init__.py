"""How well estimators do on measured data: sub-protocols, references, scores. Arrays only."""
