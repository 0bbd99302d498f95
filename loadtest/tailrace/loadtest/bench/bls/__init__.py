"""The strongest rival: the whole pipeline in one Triton model that calls the ONNX model by BLS.

Written as an engineer would who knows Triton well: one request carries two tensors, preparation is
vectorised over all requests of a dynamic batch, and a batch costs one MGET and one BLS call.
"""
