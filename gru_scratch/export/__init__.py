"""A trained model for use without this package: as one C file, as ONNX, or as a `state_dict` of `torch.nn`."""
