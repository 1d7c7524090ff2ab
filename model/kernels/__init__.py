"""Attention as kernels of its own, for TPUs and GPUs: their texts, and the calls of them.

`bench/kernels/make.py` makes the texts from the sources next to it.
"""
