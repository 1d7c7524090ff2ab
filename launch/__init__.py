"""From a description of the machines to a tf.distribute strategy."""
