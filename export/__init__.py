"""Export: kernel models and networks as TFLite and ONNX, compared with torch, in a bundle."""
