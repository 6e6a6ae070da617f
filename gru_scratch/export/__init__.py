"""A trained model without this package: as one C file, as ONNX, or as a `state_dict` of `torch.nn`."""
