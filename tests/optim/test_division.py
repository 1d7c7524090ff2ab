"""Division of matrices into parts."""

import numpy as np
import pytest
import tensorflow as tf

from optim.division import Division


def test_rows_are_divided_and_padded_with_zeros():
    division = Division((3, 2), 2)
    matrix = tf.constant([[1, 2], [3, 4], [5, 6]])
    assert division.part_shape == (2, 2)
    assert division.part(matrix, 0).numpy().tolist() == [[1, 2], [3, 4]]
    assert division.part(matrix, 1).numpy().tolist() == [[5, 6], [0, 0]]
    assert division.join(tf.constant([[1, 2], [3, 4], [5, 6], [0, 0]])).numpy().tolist() == [
        [1, 2],
        [3, 4],
        [5, 6],
    ]


def test_wide_matrices_are_divided_into_tiles():
    division = Division((16, 256), 2)
    matrix = np.arange(16 * 256).reshape(16, 256)
    assert division.part_shape == (2, 8, 128)
    second = division.part(tf.constant(matrix), 1).numpy()
    np.testing.assert_array_equal(second, [matrix[8:, :128], matrix[8:, 128:]])


@pytest.mark.parametrize("parts", [2, 4, 8, 16])
@pytest.mark.parametrize("shape", [(50, 16), (30, 128), (33, 256), (100, 384)])
def test_parts_join_to_the_matrix(shape, parts):
    division = Division(shape, parts)
    matrix = tf.reshape(tf.range(1, 1 + shape[0] * shape[1]), shape)
    cut = [division.part(matrix, tf.constant(number)) for number in range(parts)]
    assert {tuple(part.shape) for part in cut} == {division.part_shape}
    np.testing.assert_array_equal(division.join(tf.concat(cut, axis=0)), matrix)


@pytest.mark.parametrize(
    ("shape", "parts", "part"),
    [
        # Lambert-large on a v5e-256.
        ((30522, 1024), 256, (120, 8, 128)),
        ((1024, 4096), 256, (16, 8, 128)),
        ((1024, 1024), 256, (4, 8, 128)),
        ((512, 1024), 256, (2, 8, 128)),
        ((2, 1024), 256, None),  # the padding would be 127 times as large
        ((1024,), 256, None),
        ((), 256, None),
        ((1024, 1024), 1, None),
    ],
)
def test_small_tensors_stay_whole(shape, parts, part):
    division = Division(shape, parts)
    assert division.is_divided == (part is not None)
    assert part is None or division.part_shape == part
