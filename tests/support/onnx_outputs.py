"""Write the outputs of ONNX Runtime; run with the Python of .venv-onnx.

python onnx_outputs.py MODEL.onnx INPUTS.npz OUTPUTS.npz
"""

import sys

import numpy as np
import onnxruntime


def main(model: str, inputs: str, outputs: str) -> None:
    session = onnxruntime.InferenceSession(model)
    names = [output.name for output in session.get_outputs()]
    with np.load(inputs) as arrays:
        found = session.run(names, dict(arrays))
    np.savez(outputs, **dict(zip(names, found, strict=True)))


if __name__ == "__main__":
    main(*sys.argv[1:])
