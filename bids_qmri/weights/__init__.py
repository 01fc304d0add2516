"""Trained networks, each `<name>.onnx` with its card `<name>.json`; read by `estimators.network_file`."""
