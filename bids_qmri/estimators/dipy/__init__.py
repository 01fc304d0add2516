"""dipy's fits as estimators, and the estimators behind dipy's interface."""
