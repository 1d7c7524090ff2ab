"""Sources of the kernels in model/kernels, in jax; they run in the environment .venv-kernels."""
